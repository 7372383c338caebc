// One connection for all tabs of an account, where the browser lets tabs share; else one for each tab.

import { join } from '../onesocket/index.js'
import { VERSION } from '../version.js'
import makeOwnClient from './feed.js'

const FEED = new URL('./feed.js', import.meta.url)
const WORKER = new URL('../onesocket/tabs/worker.js', import.meta.url)

/** Returns a function of a user's id that returns what `Connection` makes its client by. */
export async function clientMaker() {
  if (!(await mayLock())) return () => ({ token, onError }) => makeOwnClient(token, { onError })
  // Of all addresses that would become scripts the page lets that of the worker through.
  globalThis.trustedTypes?.createPolicy('default', { createScriptURL: (address) => (address === WORKER.href ? address : null) })
  // Code of another version may know another state; its tabs have a connection of their own.
  return (userId) => ({ token, onError }) => join(FEED, { key: `onesocket chat ${VERSION} ${userId}`, token, onError })
}

/** Locks need a secure context, and storage that is not blocked. */
async function mayLock() {
  try {
    await navigator.locks.request('onesocket chat', { ifAvailable: true }, () => {})
    return true
  } catch {
    return false
  }
}
