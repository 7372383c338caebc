// Replays traces of the Python machine through the machine in JavaScript: the same effects, and the same data.
//
// Argument: a file of JSON lines (tests/model/machine_traces.py). Prints the number of steps, or the first difference.

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

import * as errors from '../../packages/onesocket-js/src/errors.js';
import { Machine } from '../../packages/onesocket-js/src/lifecycle/machine.js';
import { ReconnectPolicy } from '../../packages/onesocket-js/src/lifecycle/retry-policy.js';

// The texts that name a method, an option or a rounded time are each language's own.
const OWN_TEXTS = new Set(['ManuallyDisconnected', 'ClientClosed', 'ConnectAborted', 'ServerBusy']);
const NEW_MACHINE = {};

const machines = [];
let steps = 0;

function makeError({ name, text, cause, ...data }) {
  const known = ['retryable', 'retryAfter', 'code', 'reason', 'status'];
  const error = new errors[name](text, Object.fromEntries(known.map((each) => [each, data[each]])));
  for (const each of ['refusesToken', 'backsOff', 'isConnectionLimit', 'retryableOnceEstablished']) {
    if (data[each] !== undefined && error[each] !== undefined) error[each] = data[each];
  }
  if (cause) error.cause = makeError(cause);
  return error;
}

function isSameError(found, expected) {
  const isSameText = found.message === expected.text || OWN_TEXTS.has(expected.name);
  const isSameCause = expected.cause ? Boolean(found.cause) && isSame(found.cause, expected.cause) : !found.cause;
  const { name, text, cause, ...data } = expected;
  return (
    found.name === name &&
    isSameText &&
    isSameCause &&
    Object.entries(data).every(([key, value]) => found[key] === undefined || (found[key] ?? null) === value)
  );
}

function isSame(found, expected) {
  if (expected instanceof errors.OnesocketError) return String(found) === String(expected);
  if (found instanceof errors.OnesocketError) return expected !== null && isSameError(found, expected);
  if (found === null || typeof found !== 'object') return found === expected;
  if (expected === null || typeof expected !== 'object') return false;
  const names = Object.keys(expected);
  return names.length === Object.keys(found).length && names.every((name) => isSame(found[name], expected[name]));
}

function fail(line, what, found) {
  console.log(JSON.stringify({ what, found, expected: line }, (_, value) => (value instanceof Error ? String(value) : value)));
  process.exit(1);
}

function readData(machine, names) {
  return Object.fromEntries(names.map((name) => [name, machine[name]]));
}

const names = [];
for await (const text of createInterface({ input: createReadStream(process.argv[2]) })) {
  const line = JSON.parse(text);
  if (line.names) {
    names.push(...line.names);
  } else if (line.options) {
    const { reconnect } = line.options;
    const policy = reconnect === null ? null : new ReconnectPolicy(reconnect);
    machines[line.machine] = new Machine({ ...line.options, reconnect: policy });
  } else {
    const machine = machines[line.from].copy();
    const { event } = line;
    const effects = machine.handle(event.error ? { ...event, error: makeError(event.error) } : event, line.now);
    steps += 1;
    if (!isSame(effects, line.effects)) fail(line, 'effects', effects);
    const before = readData(machines[line.from], names);
    const changed = names.filter((name) => machine[name] !== before[name]);
    for (const name of new Set([...changed, ...Object.keys(line.changes)])) {
      const expected = name in line.changes ? line.changes[name] : NEW_MACHINE;
      const isKept = expected === NEW_MACHINE && isSame(machine[name], before[name]);
      if (!isKept && !isSame(machine[name], expected)) fail(line, name, machine[name]);
    }
    if (line.to !== null) machines[line.to] = Object.assign(machine, line.set);
  }
}
console.log(`${steps} steps`);
