// The store of a `DurableOutbox` in a browser: one database of IndexedDB, which one client of the origin has at a time.

import { OutboxInUse, OutboxUnusable } from '../errors.js';
import { namedText, RowRefused } from './stored-errors.js';

const SCHEMA_VERSION = 1;
const MESSAGES = 'messages';
/** Seconds for the client that had the outbox to give it up: a page that was reloaded or has crashed. */
const LOCK_SECONDS = 1;
/** Seconds for the browser to open the database: it waits for pages that delete it. */
const OPEN_SECONDS = 10;

/** The name of the database of an outbox. */
export const databaseOf = (name) => `onesocket outbox ${name}`;

const shown = (name) => `the outbox ${JSON.stringify(name)}`;

/** Resolves with the function that gives the lock of an outbox back. Rejects with `OutboxInUse` or `OutboxUnusable`. */
function acquire(name) {
  return new Promise((resolve, reject) => {
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), LOCK_SECONDS * 1000);
    const hold = () => {
      clearTimeout(timer);
      return new Promise((release) => resolve(release));
    };
    navigator.locks.request(databaseOf(name), { signal: waiting.signal }, hold).catch((cause) => {
      clearTimeout(timer);
      if (waiting.signal.aborted) {
        reject(
          new OutboxInUse(
            `${shown(name)} is in use by another client, of this page, another tab or a worker: let all tabs share one ` +
              'connection by join(), close that client first, or give each client an outbox with a name of its own',
          ),
        );
      } else {
        reject(new OutboxUnusable(`${shown(name)} can't be used: this page may not use Web Locks, as its storage is blocked`, { cause }));
      }
    });
  });
}

/** Resolves with the database. Rejects with `OutboxUnusable`. `onLost(why)`: the user deletes it, or the browser does. */
async function openDatabase(name, onLost) {
  const fail = (why, cause) => new OutboxUnusable(`${shown(name)} can't be opened: ${why}`, { cause });
  let request;
  try {
    request = indexedDB.open(databaseOf(name), SCHEMA_VERSION);
  } catch (cause) {
    throw fail('the browser blocks the storage of this page: let the site keep data', cause);
  }
  let timer;
  const slow = new Promise((_, reject) => {
    timer = setTimeout(() => reject(fail('another page holds its database open, or deletes it: close the other pages')), OPEN_SECONDS * 1000);
  });
  const opened = new Promise((resolve, reject) => {
    request.onupgradeneeded = ({ oldVersion }) => {
      if (oldVersion === 0) request.result.createObjectStore(MESSAGES, { keyPath: 'number' });
    };
    request.onsuccess = () => {
      const database = request.result;
      database.onversionchange = () => {
        database.close(); // else whoever deletes or changes it would wait
        onLost('another script of this site deletes or changes its database');
      };
      database.onclose = () => onLost('the browser has closed its database: its data were deleted, or the disk fails');
      resolve(database);
    };
    request.onerror = () => reject(fail(remedy(name, request.error), request.error));
  });
  try {
    return await Promise.race([opened, slow]);
  } catch (error) {
    opened.then((database) => database.close(), () => {}); // one that comes too late
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function remedy(name, error) {
  const text = namedText(error);
  switch (error?.name) {
    case 'VersionError':
      return 'it was written by a newer release of onesocket: reload this page, or give the outbox another name';
    case 'QuotaExceededError':
      return `${text}; the storage of this site is full: make room`;
    case 'UnknownError':
    case 'DataError':
      return (
        `${text}; the database is damaged, or the disk is full or fails: nothing was changed; ` +
        `indexedDB.deleteDatabase(${JSON.stringify(databaseOf(name))}) makes way for an empty one`
      );
    default:
      return `${text}; the browser may block the storage of this page: let the site keep data`;
  }
}

/** Reads all messages, in order. */
function readAll(database) {
  return new Promise((resolve, reject) => {
    const request = database.transaction(MESSAGES).objectStore(MESSAGES).getAll();
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Performs all of these, or none; resolves when the disk has them. An error of one message alone has its `number`. */
function apply(database, operations) {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(MESSAGES, 'readwrite', { durability: 'strict' });
    let failed = null;
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(failed ?? transaction.error ?? new Error('the browser has ended the transaction'));
    const messages = transaction.objectStore(MESSAGES);
    let present = null;
    try {
      for (const { type, row, number } of operations) {
        present = row ?? null;
        if (type === 'put') messages.put(row).onerror = ({ target }) => (failed ??= refusal(target.error, row));
        else messages.delete(number);
      }
      present = null;
      transaction.commit();
    } catch (error) {
      transaction.abort(); // else the operations before it would be performed
      reject(refusal(error, present) ?? error);
    }
  });
}

/** The error of a message that can't be stored, whatever room there is: it is too large; null: all of the transaction failed. */
function refusal(error, row) {
  const isOfAll = row === null || ['AbortError', 'QuotaExceededError', 'InvalidStateError'].includes(error?.name);
  return isOfAll ? null : new RowRefused(row.number, error);
}

async function open(name, { onLost }) {
  if (typeof globalThis.indexedDB === 'undefined') {
    throw new OutboxUnusable(`${shown(name)} can't be used: this JavaScript has no IndexedDB; give new DurableOutbox(name, { store }) a store`);
  }
  if (!globalThis.navigator?.locks) {
    throw new OutboxUnusable(`${shown(name)} needs Web Locks, which a page has only in a secure context (https, localhost)`);
  }
  const release = await acquire(name);
  let database = null;
  let lostWhy = null;
  let lose = (why) => {
    lostWhy = why;
  };
  try {
    database = await openDatabase(name, (why) => lose(why));
    const names = [...database.objectStoreNames];
    if (names.length !== 1 || names[0] !== MESSAGES) {
      throw new OutboxUnusable(
        `the database ${JSON.stringify(databaseOf(name))} is that of another program: give the outbox another name`,
      );
    }
    const rows = await readAll(database).catch((cause) => {
      throw new OutboxUnusable(`${shown(name)} can't be read: ${lostWhy ?? remedy(name, cause)}`, { cause });
    });
    if (lostWhy !== null) throw new OutboxUnusable(`${shown(name)} can't be read: ${lostWhy}`);
    lose = onLost; // what is in memory is still sent
    return {
      rows,
      apply: (operations) => apply(database, operations),
      async close() {
        database.close(); // waits for what is being written
        release();
      },
    };
  } catch (error) {
    database?.close();
    release();
    throw error;
  }
}

/** The default `store` of a `DurableOutbox`. */
export const indexedDbStore = Object.freeze({ open });
