// The shared worker that has the connection of all tabs of an origin.

import { Owner, ownerLock, TAKE_OVER_SECONDS, VERSION } from './owner.js';

const ports = new Map();

const owner = new Owner({
  id: crypto.randomUUID(),
  post: (member, message) => ports.get(member)?.postMessage(message),
  broadcast: (message) => {
    for (const port of ports.values()) port.postMessage(message);
  },
  onLeft: (member) => ports.delete(member),
  locks: navigator.locks,
  load: async (module) => (await import(module)).default,
  takeOverSeconds: TAKE_OVER_SECONDS,
});

// Held as long as the worker lives: so the tabs notice its end, and a worker of another version of the client, or a tab
// that leads, waits for that. Until it is held there is no owner here.
const held = new Promise((resolve) => {
  navigator.locks.request(ownerLock(globalThis.name), () => {
    resolve();
    return new Promise(() => {});
  });
});

globalThis.onconnect = async ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data.type === 'join') ports.set(data.member, port);
    owner.handle(data);
  };
  await held;
  port.postMessage({ type: 'owner', owner: owner.id, version: VERSION });
};
