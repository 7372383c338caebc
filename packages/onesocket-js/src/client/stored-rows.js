// The rows of the store of a `DurableOutbox`: one for each message.

import { EncodeError, OutboxUnusable } from '../errors.js';

const isId = (value) => typeof value === 'string' || Number.isSafeInteger(value);
const isData = (value) => typeof value === 'string' || value instanceof ArrayBuffer || ArrayBuffer.isView(value);
const isBoolean = (value) => typeof value === 'boolean';

/** Returns the id of a message; null: it has none. Throws `EncodeError`. */
export function idOf(acknowledgement, message) {
  let id;
  try {
    id = acknowledgement.idOf(message) ?? null;
  } catch (cause) {
    const text = `idOf of the protocol's acknowledges failed (${cause?.name}): it must return null for a message without an id`;
    throw new EncodeError(text, { cause });
  }
  if (id === null || isId(id)) return id;
  throw new EncodeError(`the id of a message (acknowledges) must be a string, a safe whole number or null, not ${typeof id}`);
}

/** Returns what is stored of a frame: the program may change its bytes later. */
export function copyOf(data) {
  if (typeof data === 'string') return data;
  const { buffer, byteOffset, byteLength } = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
  return new Uint8Array(buffer, byteOffset, byteLength).slice().buffer; // never one that threads share
}

const CHECKS = {
  number: (value) => Number.isSafeInteger(value) && value > 0,
  messageId: (value) => value === null || isId(value),
  data: isData,
  storedAt: Number.isFinite,
  expiresAt: (value) => value === null || Number.isFinite(value),
  mayHaveArrived: isBoolean,
  resend: isBoolean,
};

/** Returns the row of a message: nothing but these fields is stored. */
export const rowOf = ({ number, messageId, data, storedAt, expiresAt, isMarked, resend }) => ({
  number,
  messageId,
  data,
  storedAt,
  expiresAt: Number.isFinite(expiresAt) ? expiresAt : null, // so that a store may keep rows as JSON
  mayHaveArrived: isMarked,
  resend,
});

/** Returns the rows in order. Throws `OutboxUnusable` if another program has changed them. */
export function checkRows(rows, shown) {
  const damaged = (damage) =>
    new OutboxUnusable(
      `the outbox ${shown} is damaged, or no outbox (${damage}): nothing was changed; delete its database, or give the outbox ` +
        'another name',
    );
  if (!Array.isArray(rows)) throw damaged('the store returns no list of rows');
  for (const row of rows) {
    const wrong = Object.keys(CHECKS).find((name) => !CHECKS[name](row?.[name]));
    if (wrong !== undefined) throw damaged(`a message has the ${wrong} ${typeof row?.[wrong]}`);
  }
  const ids = rows.map(({ messageId }) => messageId).filter((id) => id !== null);
  if (new Set(ids).size < ids.length) throw damaged('two messages have one id');
  if (new Set(rows.map(({ number }) => number)).size < rows.length) throw damaged('two messages have one number');
  return [...rows].sort((a, b) => a.number - b.number);
}
