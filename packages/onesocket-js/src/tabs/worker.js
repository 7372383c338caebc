// The shared worker that has the connection of all tabs of an origin.

import { Owner, TAKE_OVER_SECONDS } from './owner.js';

const ports = new Map();
const key = globalThis.name;

const owner = new Owner({
  id: crypto.randomUUID(),
  post: (member, message) => ports.get(member)?.postMessage(message),
  broadcast: (message) => {
    for (const port of ports.values()) port.postMessage(message);
  },
  locks: navigator.locks,
  load: async (module) => (await import(module)).default,
  takeOverSeconds: TAKE_OVER_SECONDS,
});

// Held as long as the worker lives, so that the tabs notice its end.
navigator.locks.request(`onesocket owner ${key}`, () => new Promise(() => {}));

globalThis.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data.type === 'join') ports.set(data.member, port);
    owner.handle(data);
    if (data.type === 'leave') ports.delete(data.member);
  };
  port.postMessage({ type: 'owner', owner: owner.id });
};
