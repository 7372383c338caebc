// Prints the names that the package exports. With an object of classes and names of members on standard input, it prints
// those members that neither the class nor a plain instance of it has.

import { readFileSync } from 'node:fs';

import * as one from '../../packages/onesocket-js/src/index.js';

const input = readFileSync(0, 'utf8');
const MAKE = {
  Client: () => new one.Client('ws://127.0.0.1/'),
  Delivery: () => new one.Client('ws://127.0.0.1/', { logger: null }).sendNowait(''),
  Subscription: () => new one.Client('ws://127.0.0.1/').subscribe(),
  Provider: () => new one.Provider('ws://127.0.0.1/', { auth: () => null }),
  Gap: () => new one.Gap('overflow', { epoch: 1 }),
  Identity: () => new one.Identity('key', 'token'),
  CallableSink: () => new one.CallableSink(() => {}),
  DurableOutbox: () => new one.DurableOutbox('name'),
  Acknowledgement: () => new one.Acknowledgement({ idOf: () => null, acknowledgedBy: () => null }),
  Pace: () => new one.Pace(1),
  Rotation: () => new one.Rotation({ identity: () => null }),
};

function isThere(name, member) {
  if (member === 'constructor' || member in one[name].prototype) return true;
  if (name === 'SharedClient') return false; // it can be made in a browser alone
  const isError = one[name].prototype instanceof Error;
  const made = MAKE[name]?.() ?? (isError ? new one[name]('text') : new one[name]());
  return member in made;
}

if (input === '') {
  console.log(JSON.stringify(Object.keys(one)));
} else {
  const missing = [];
  for (const [name, members] of Object.entries(JSON.parse(input))) {
    if (['CodecProtocol', 'Discord', 'Login', 'Heartbeat', 'Requests'].includes(name)) continue; // they declare no others
    for (const member of members) if (!isThere(name, member)) missing.push(`${name}.${member}`);
  }
  console.log(JSON.stringify(missing));
  process.exit(0); // a message that waits would keep the process
}
