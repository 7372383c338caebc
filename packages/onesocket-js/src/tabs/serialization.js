// What tabs send each other: errors and gaps, which structured clones would lose, as plain objects.

import * as errors from '../errors.js';
import { Gap } from '../client/gap.js';

const FIELDS = [
  'retryable',
  'retryAfter',
  'refusesToken',
  'backsOff',
  'code',
  'reason',
  'status',
  'isConnectionLimit',
  'wasSent',
  'option',
  'answer',
  'data',
  'keys',
];

/** Causes of causes that are passed on: those of a program may lead back to themselves. */
const MAX_CAUSES = 8;

/** Returns an error as a plain object; null: there is none. A program may throw anything, as the cause of one of ours. */
export function packError(error, causes = MAX_CAUSES) {
  if (error === null || error === undefined) return null;
  if (!(error instanceof Error)) return { name: 'Error', text: textOf(error), cause: null, fields: {} };
  const known = FIELDS.filter((name) => isPlain(error[name])).map((name) => [name, error[name]]);
  const cause = causes > 0 ? packError(error.cause, causes - 1) : null;
  return { name: textOf(error.name), text: textOf(error.message), cause, fields: Object.fromEntries(known) };
}

function textOf(value) {
  try {
    return String(value);
  } catch {
    return `(${typeof value})`; // an object without a prototype
  }
}

/** True if it can be sent to another tab. */
function isPlain(value) {
  if (value === undefined) return false;
  if (value === null || typeof value !== 'object') return typeof value !== 'function' && typeof value !== 'symbol';
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}

/** Returns the error that was packed. */
export function unpackError(packed) {
  if (packed === null) return null;
  const kind = errors[packed.name] ?? errors.OnesocketError;
  const cause = unpackError(packed.cause) ?? undefined;
  const error = new kind(packed.text, { ...packed.fields, cause });
  for (const name of ['refusesToken', 'backsOff', 'isConnectionLimit']) {
    if (packed.fields[name] !== undefined && error[name] !== undefined) error[name] = packed.fields[name];
  }
  return error;
}

/** Returns a gap, or a message with what readers select it by. */
export function packItem(item, describe) {
  if (!(item instanceof Gap)) return { item, about: describe(item) };
  const { reason, epoch, missed, error } = item;
  return { gap: { reason, epoch, missed, error: packError(error) } };
}

export function unpackGap({ reason, error, ...rest }) {
  return new Gap(reason, { ...rest, error: unpackError(error) });
}

export function unpackItem({ gap, item, about }) {
  return gap ? { item: unpackGap(gap), about: null } : { item, about };
}

/** Returns a change or a status of a client as a plain object. */
export function packState(state) {
  const packed = { ...state };
  for (const name of ['error', 'lastError', 'lastLoss']) if (name in packed) packed[name] = packError(packed[name]);
  return packed;
}

export function unpackState(packed) {
  const state = { ...packed };
  for (const name of ['error', 'lastError', 'lastLoss']) if (name in state) state[name] = unpackError(state[name]);
  return Object.freeze(state);
}
