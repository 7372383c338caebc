// How the peer acknowledges messages: which id a message has, and which one an acknowledgement names.

import { InvalidOption } from '../errors.js';

/**
 * The acknowledgements of a service, for a `DurableOutbox`.
 *
 * `idOf(message)`: the id of a message to be sent, a string or a whole number; null: it is not acknowledged, and so not kept.
 * `acknowledgedBy(message)`: the id that a received message acknowledges, or refuses for good; null: it is no
 * acknowledgement. Readers get that message, too.
 */
export class Acknowledgement {
  constructor({ idOf, acknowledgedBy, ...unknown } = {}) {
    const [unknownName] = Object.keys(unknown);
    if (unknownName !== undefined) throw new InvalidOption(`Acknowledgement has no option ${unknownName}`);
    for (const [name, call] of Object.entries({ idOf, acknowledgedBy })) {
      if (typeof call !== 'function') throw new InvalidOption(`Acknowledgement: ${name} must be a function of a message`);
    }
    Object.assign(this, { idOf, acknowledgedBy });
    Object.freeze(this);
  }
}
