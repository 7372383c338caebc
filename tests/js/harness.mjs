// Runs the code that a test in Python sends: a JSON line for each piece, and a JSON line with what it returned.
//
// The code is the body of an async function. It has `one` (the package), `kept` (an object of the test's own), `data`,
// `nameOf(promise)`, which resolves with the value, or with the error's name, and `Clock`, a clock that the test moves.

import { createInterface } from 'node:readline';

import * as one from '../../packages/onesocket-js/src/index.js';

const AsyncFunction = (async () => {}).constructor;
const kept = {};

const nameOf = (promise) => Promise.resolve(promise).then((value) => value ?? 'done', (error) => error.name);

/** A clock for `platform:`, whose time passes only by `advance(seconds)`. */
class Clock {
  #now = 0;
  #timers = new Set();

  now = () => this.#now;

  setTimer = (seconds, call) => {
    const timer = { at: this.#now + seconds, call };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  /** Lets time pass, and calls what is due, in order. */
  advance(seconds) {
    const end = this.#now + seconds;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.call();
    }
    this.#now = end;
  }
}

function describe(_, value) {
  if (value instanceof Error) return { error: value.name, text: value.message, retryable: value.retryable };
  return value instanceof ArrayBuffer ? { bytes: [...new Uint8Array(value)] } : value;
}

async function run({ id, code, data }) {
  let answer;
  try {
    answer = { id, value: await new AsyncFunction('one', 'kept', 'nameOf', 'Clock', 'data', code)(one, kept, nameOf, Clock, data) };
  } catch (error) {
    answer = { id, failed: `${error?.stack ?? error}` };
  }
  process.stdout.write(`${JSON.stringify({ ...answer, value: answer.value ?? null }, describe)}\n`);
}

process.on('unhandledRejection', (error) => {
  process.stdout.write(`${JSON.stringify({ id: null, failed: `unhandled: ${error?.stack ?? error}` })}\n`);
});

for await (const line of createInterface({ input: process.stdin })) run(JSON.parse(line));
process.exit(0);
