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

/** Returns an error as a plain object; null: there is none. */
export function packError(error) {
  if (error === null || error === undefined) return null;
  const known = FIELDS.filter((name) => error[name] !== undefined).map((name) => [name, error[name]]);
  return { name: error.name, text: error.message, cause: packError(error.cause), fields: Object.fromEntries(known) };
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
