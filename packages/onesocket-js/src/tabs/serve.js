// Has the connection of all tabs of an origin in a shared worker: what `worker.js` does, and a worker of the program's own.

import { Owner, ownerLock, TAKE_OVER_SECONDS, VERSION } from './owner.js';

/**
 * Serves the tabs that `join()` connects to this shared worker; called once, at its start. `makeClient(token)` makes the
 * client; null: the module that the tabs name has it as its default export.
 */
export function serve(makeClient = null) {
  const ports = new Map();
  const owner = new Owner({
    id: crypto.randomUUID(),
    post: (member, message) => ports.get(member)?.postMessage(message),
    broadcast: (message) => {
      for (const port of ports.values()) port.postMessage(message);
    },
    onLeft: (member) => ports.delete(member),
    locks: navigator.locks,
    // Not for a bundler: it would look for the module when it builds.
    load: async (module) => makeClient ?? (await import(/* @vite-ignore */ /* webpackIgnore: true */ module)).default,
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
    port.postMessage({ type: 'owner', owner: owner.id, version: VERSION, name: globalThis.name });
  };
}
