// What the browser keeps: the login, the drafts and a few settings. Without storage (it can be forbidden) all is kept in memory.

const PREFIX = 'onesocket.'
const TOKEN = `${PREFIX}token`
const USER = `${PREFIX}user`
const LASTS = `${PREFIX}lasts`

function usable(name) {
  try {
    const storage = globalThis[name]
    storage.getItem('')
    return storage
  } catch {
    const entries = new Map()
    return {
      getItem: (key) => entries.get(key) ?? null,
      setItem: (key, value) => entries.set(key, value),
      removeItem: (key) => entries.delete(key),
      key: (index) => [...entries.keys()][index] ?? null,
      get length() {
        return entries.size
      },
    }
  }
}

const lasting = usable('localStorage')
const ofThisTab = usable('sessionStorage')

/**
 * The login: for this tab alone (gone when it is closed), or for the browser. A script that got into the page could read
 * both, as it could use a cookie; that is why the page's policy lets no foreign script in.
 */
export const login = {
  /** The login that is kept, `{ token, userId }`, or null. */
  get() {
    return loginIn(ofThisTab) ?? loginIn(lasting)
  },
  /** Keep a login; that of another account is kept for new tabs. */
  set({ token, userId }, { remember }) {
    const storage = remember ? lasting : ofThisTab
    try {
      storage.setItem(TOKEN, token)
      storage.setItem(USER, userId)
      if (remember) forget(ofThisTab)
    } catch {
      // The storage is full: the login ends with this page.
    }
  },
  /** Replace a login before the page begins anew: in this tab, as another one may be forgetting the browser's in this moment. */
  replace(account, { remember }) {
    this.set(account, { remember: false })
    if (remember) ofThisTab.setItem(LASTS, '1')
  },
  /** The page has begun anew: keep the login where it belongs. */
  settle() {
    const account = loginIn(ofThisTab)
    if (account && ofThisTab.getItem(LASTS)) this.set(account, { remember: true })
    ofThisTab.removeItem(LASTS)
  },
  /** Forget a login, and no other. */
  clear(token) {
    for (const storage of [ofThisTab, lasting]) if (loginIn(storage)?.token === token) forget(storage)
  },
  get isRemembered() {
    return loginIn(ofThisTab) === null && loginIn(lasting) !== null
  },
}

function loginIn(storage) {
  const token = storage.getItem(TOKEN)
  const userId = storage.getItem(USER)
  return token && userId ? { token, userId } : null
}

function forget(storage) {
  storage.removeItem(TOKEN)
  storage.removeItem(USER)
}

/** Read a JSON value; `fallback` if there is none. */
export function readValue(name, fallback = null) {
  try {
    return JSON.parse(lasting.getItem(PREFIX + name)) ?? fallback
  } catch {
    return fallback
  }
}

/** Keep a JSON value; null removes it. */
export function writeValue(name, value) {
  try {
    if (value === null) lasting.removeItem(PREFIX + name)
    else lasting.setItem(PREFIX + name, JSON.stringify(value))
  } catch {
    // The storage is full: what is written goes on in memory.
  }
}

/** The text that is being written in a place: in this tab, or else in the tab that has kept one last. */
export function readDraft(name) {
  return ofThisTab.getItem(PREFIX + name) ?? readValue(name, '')
}

/** Keep a text, for a reload of this tab, and for a tab to come. Without one, that of another tab stays. */
export function writeDraft(name, text) {
  const before = readDraft(name)
  try {
    ofThisTab.setItem(PREFIX + name, text) // an empty one, too, which is this tab's
  } catch {
    // As above.
  }
  if (text || before === readValue(name, '')) writeValue(name, text || null)
}

/** The values whose names begin with `prefix`. */
export function readValues(prefix) {
  const names = []
  for (let at = 0; at < lasting.length; at += 1) {
    const key = lasting.key(at)
    if (key?.startsWith(PREFIX + prefix)) names.push(key.slice(PREFIX.length))
  }
  return names.map((name) => readValue(name)).filter((value) => value !== null)
}
