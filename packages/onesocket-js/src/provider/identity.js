// The identity that is signed in.

import { TokenFailed } from '../errors.js';
import { checkToken } from '../client/token-requests.js';

/** A signed-in identity: `key` stays the same when the token is renewed; the token is shown nowhere. */
export class Identity {
  #token;
  #isBare;

  constructor(key, token) {
    this.key = key;
    this.#token = checkToken(token);
    this.#isBare = false;
  }

  get token() {
    return this.#token;
  }

  /** True if both are the same user: by the key, or by the token where a token is all that is known. */
  isSame(other) {
    if (other === null || this.#isBare !== other.#isBare) return false;
    return this.#isBare ? this.#token === other.#token : this.key === other.key;
  }

  /** Returns the identity that `auth` means: an `Identity`, a token that is its own identity, or null. */
  static of(value) {
    if (value === null || value === undefined) return null;
    if (value instanceof Identity) return value;
    if (typeof value !== 'string') {
      throw new TokenFailed(`auth must return an Identity, a string or null, not ${typeof value}`);
    }
    const identity = new Identity('(a token)', value);
    identity.#isBare = true;
    return identity;
  }
}
