// Asks for the tokens of a client's attempts, and tells their source of one that was refused.

import { OnesocketError, TokenFailed } from '../errors.js';

/** The source gave the token that was refused with `refusal`: the server isn't asked again with it. */
export class TokenUnchanged extends Error {
  constructor(refusal) {
    super('the token is the one that was refused');
    this.refusal = refusal;
  }
}

/** Calls a function of the program; what it raises becomes `TokenFailed`, as its text may hold a secret. */
export async function callTokenFunction(call) {
  try {
    return await call();
  } catch (error) {
    if (error instanceof OnesocketError) throw error;
    throw new TokenFailed('the function that gives the token failed', { retryable: true, cause: error });
  }
}

/** Checks a token. Throws `TokenFailed`, which never shows it. */
export function checkToken(token) {
  if (typeof token !== 'string' || token === '') {
    throw new TokenFailed(`a token is a string that is not empty, not ${token === '' ? 'an empty one' : typeof token}`);
  }
  return token;
}

/** The token of each attempt of one client: a string, or the answers of a function. */
export class TokenRequests {
  #token;
  #last = null;
  #refused = null;
  #refusal = null;
  #asked = 0;
  /** True while the peer isn't asked again with the token that it refused. */
  wantsAnother = false;

  constructor(token) {
    this.#token = token;
  }

  /** True if a function gives the tokens, so that a refused one can be replaced. */
  get renews() {
    return typeof this.#token === 'function';
  }

  /** True if the newest token isn't the one that was refused. */
  get isFresh() {
    return this.#refusal === null || this.#last !== this.#refused;
  }

  /** Returns the token of the next attempt; null: there is none. Throws `TokenUnchanged` and `TokenFailed`. */
  async ask() {
    const source = this.#token;
    this.#asked += 1;
    const number = this.#asked;
    const answer = this.renews ? await callTokenFunction(() => source(this.#refused, this.#refusal)) : source;
    const token = answer === null || answer === undefined ? null : checkToken(answer);
    if (number !== this.#asked) return token; // too late: its attempt was given up, and another one has asked
    this.#last = token;
    if (this.wantsAnother && this.#refusal !== null && token === this.#refused) throw new TokenUnchanged(this.#refusal);
    return token;
  }

  refused(error) {
    if (this.#last !== null) [this.#refused, this.#refusal] = [this.#last, error];
  }

  accepted() {
    this.#refused = this.#refusal = null;
  }
}
