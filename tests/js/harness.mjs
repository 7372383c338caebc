// Runs the code that a test in Python sends: a JSON line for each piece, and a JSON line with what it returned.
//
// The code is the body of an async function. It has `one` (the package), `kept` (an object of the test's own), `data`,
// `nameOf(promise)`, which resolves with the value, or with the error's name, `Clock`, a clock that the test moves, `turn()`,
// a turn of the event loop, `make(options)`: a client whose server is the test (fake_socket.mjs), and `FakeStore`, the disk of
// a durable outbox (fake_store.mjs).

import { createInterface } from 'node:readline';

import * as one from '../../packages/onesocket-js/src/index.js';
import { Clock, makeClient, turn } from './fake_socket.mjs';
import { FakeStore } from './fake_store.mjs';

const AsyncFunction = (async () => {}).constructor;
const kept = {};

/** Resolves with the value, with the error's name, or after two turns of the event loop with "pending". */
const stateOf = (promise) => Promise.race([nameOf(promise), turn().then(turn).then(() => 'pending')]);
const nameOf = (promise) => Promise.resolve(promise).then((value) => value ?? 'done', (error) => error.name);

const make = (options) => makeClient(one, options);
const scope = { one, kept, nameOf, stateOf, Clock, FakeStore, turn, make };

function describe(_, value) {
  if (value instanceof Error) return { error: value.name, text: value.message, retryable: value.retryable };
  return value instanceof ArrayBuffer ? { bytes: [...new Uint8Array(value)] } : value;
}

async function run({ id, code, data }) {
  let answer;
  try {
    answer = { id, value: await new AsyncFunction(...Object.keys(scope), 'data', code)(...Object.values(scope), data) };
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
