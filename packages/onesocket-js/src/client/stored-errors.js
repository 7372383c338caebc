// The errors of messages in a `DurableOutbox`; `shown`: its name.

import { DeliveryUnknown, MessageExpired, MessageKept, MessageNotStored, OnesocketError, OutboxUnusable } from '../errors.js';

const SENT_AGAIN = 'with resend: true it is sent again';

/** Returns the name and the text of what a browser or a store has thrown, which may have no text. */
export const namedText = (error) => [error?.name ?? 'Error', error?.message ?? String(error)].filter((text) => text !== '').join(': ');

/** What a store rejects with if it can't take one message, by its `number`: the others of the transaction are tried again. */
export class RowRefused extends Error {
  constructor(number, cause) {
    super(cause?.message ?? String(cause), { cause });
    this.name = cause?.name ?? 'Error';
    this.number = number;
  }
}

/** Returns the error of a store that can't be opened. */
export function unusable(shown, cause) {
  if (cause instanceof OnesocketError) return cause;
  return new OutboxUnusable(`the outbox ${shown} can't be opened: ${namedText(cause)}`, { cause });
}

/** Returns the error of a store that has lost its data while it was open. */
export function lost(shown, why) {
  return new OutboxUnusable(
    `the outbox ${shown} is lost: ${why}; what it had accepted is sent as long as this page lives, and nothing more is ` +
      'accepted: make a new client',
  );
}

/** Returns the error of what a store could not write. */
export function notStored(shown, cause) {
  return new MessageNotStored(`the outbox ${shown} can't be written: ${namedText(cause)}${remedyOf(cause)}`, { cause });
}

function remedyOf(error) {
  switch (error?.name) {
    case 'QuotaExceededError':
      return '; the storage of this site is full: make room';
    case 'InvalidStateError':
      return '; its database was closed or deleted: make a new client, which makes a new one; this one still sends what it has accepted';
    default:
      return '';
  }
}

/** Returns the error of a message whose client was closed while the store was still being opened. */
export const notOpened = (shown) =>
  new MessageNotStored(`the outbox ${shown} could not be opened before the client was closed`);

/** Returns the error of a message that may be on disk, or not. */
export const unconfirmed = (shown) =>
  new DeliveryUnknown(`the disk has not confirmed in time that the outbox ${shown} has this message`);

export const kept = (shown) =>
  new MessageKept(
    `the client was closed or disconnected before this message was settled: it is kept in the outbox ${shown}, and sent on ` +
      'the next connection',
  );

/** Names a message: an error may reach the program without its delivery. */
const nameOf = ({ messageId }) => (messageId === null ? 'a message' : `the message with the id ${JSON.stringify(messageId)}`);

/** Returns the error of a message that an earlier page has sent. */
export function unknownSince(entry) {
  return new DeliveryUnknown(
    `${nameOf(entry)} was sent by an earlier page, which ended before it was settled: it may have arrived; ${SENT_AGAIN}`,
  );
}

/** Returns the error of a message on a connection that is lost. */
export const unknownAfterLoss = (entry) =>
  new DeliveryUnknown(`the connection was lost before ${nameOf(entry)} was settled: it may have arrived; ${SENT_AGAIN}`);

/** Returns the error of a message whose time is up. */
export function expired(entry, age) {
  const text = `within the ${age} s of the durable outbox (age)`;
  return entry.wasSent
    ? new DeliveryUnknown(`${nameOf(entry)} was sent, but not settled ${text}: it may or may not have arrived`)
    : new MessageExpired(`${nameOf(entry)} could not be sent ${text}`);
}
