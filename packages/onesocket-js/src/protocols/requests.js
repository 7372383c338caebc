// Requests of a service: how an id is put into a message and read from an answer, and which answers refuse.

import { InvalidOption, OnesocketError, RequestRefused, UsageError } from '../errors.js';

const isId = (value) => typeof value === 'string' || typeof value === 'number';

/**
 * The requests of a service. `id`: the key of the id, in a request and in its answers. `makeId`: a function of the
 * request's number (1, 2, 3 …) that returns its id. `idOf(message)` and `withId(message, id)`: instead of the key.
 * `refused(answer)`: the reason of an answer that refuses, else null. `last(answer)`: true of the one that ends a stream of
 * answers, and `stop(request)`: the message that ends it from this side.
 */
export class Requests {
  constructor({
    id = 'id',
    makeId = (number) => number,
    idOf = null,
    withId = null,
    refused = null,
    last = null,
    stop = null,
  } = {}) {
    if (typeof id !== 'string' || id === '') throw new InvalidOption(`Requests: id must be the key of the id, not ${id}`);
    for (const [name, call] of Object.entries({ makeId, idOf, withId, refused, last, stop })) {
      if (call !== null && typeof call !== 'function') throw new InvalidOption(`Requests: ${name} must be a function`);
    }
    Object.assign(this, { id, makeId, idOf, withId, refused, last, stop });
  }

  /** Returns the id of a received message; null: it is no answer. */
  find(message) {
    const found = this.idOf === null ? message?.[this.id] : this.idOf(message);
    return isId(found) ? found : null;
  }

  /** Returns a copy of a message with this id. */
  put(message, id) {
    if (this.withId !== null) return this.withId(message, id);
    if (message === null || typeof message !== 'object') {
      throw new UsageError(`a request is an object, which can get an id, not ${typeof message}`);
    }
    return { ...message, [this.id]: id };
  }

  /** Returns an answer with the id that its caller had put into the request, if any. */
  restore(answer, asked) {
    return asked === null ? answer : this.put(answer, asked);
  }

  /** Returns the reason of an answer that refuses the request, else null. */
  reason(answer) {
    const why = this.refused?.(answer) ?? null;
    return why === null || why === false ? null : (why.message ?? String(why));
  }

  /** Returns the typed error if the answer refuses the request, else null. */
  refusal(answer) {
    const why = this.refused?.(answer) ?? null;
    if (why === null || why === false || why instanceof OnesocketError) return why || null;
    return new RequestRefused(`the request was refused: ${why}`, { answer });
  }
}
