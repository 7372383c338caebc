// A login made of messages: the request, and the answers that accept or refuse it.

import { InvalidOption, LoginRefused, OnesocketError } from '../errors.js';

/**
 * A login between *open* and *ready*, described by functions of messages:
 *
 *     new Login({
 *       request: (token) => ({ action: 'auth', key: token }),
 *       ready: (message) => message.status === 'authorized',
 *       refused: (message) => message.error,
 *     })
 *
 * Without `request` the server speaks first; without `ready` no answer is awaited.
 */
export class Login {
  constructor({ request = null, ready = null, refused = null } = {}) {
    for (const [name, call] of Object.entries({ request, ready, refused })) {
      if (call !== null && typeof call !== 'function') throw new InvalidOption(`Login: ${name} must be a function or null`);
    }
    Object.assign(this, { request, ready, refused });
  }

  /** Returns the typed error if the message refuses the login, else null. */
  refusal(message) {
    const why = this.refused?.(message) ?? null;
    if (why === null || why === false || why instanceof OnesocketError) return why || null;
    return new LoginRefused(`the login was refused: ${why}`);
  }
}
