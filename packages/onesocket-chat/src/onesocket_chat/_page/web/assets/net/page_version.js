// Whether the server has another version of this page by now: an open tab goes on with the files that it has.

import { VERSION } from '../version.js'

/** True if the server's page is another one; false too if it does not tell. */
export async function isOutdated(fetch = globalThis.fetch) {
  try {
    const response = await fetch('/assets/version.js', { cache: 'no-cache', credentials: 'omit' })
    return response.ok && !(await response.text()).includes(VERSION)
  } catch {
    return false
  }
}
