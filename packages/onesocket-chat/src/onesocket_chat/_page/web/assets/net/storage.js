// What the browser keeps: the login, the drafts and a few settings. Without storage (it can be forbidden) all is kept in memory.

const PREFIX = 'onesocket.'

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
  get() {
    return ofThisTab.getItem(`${PREFIX}token`) ?? lasting.getItem(`${PREFIX}token`)
  },
  set(token, { remember }) {
    this.clear()
    ;(remember ? lasting : ofThisTab).setItem(`${PREFIX}token`, token)
  },
  clear() {
    ofThisTab.removeItem(`${PREFIX}token`)
    lasting.removeItem(`${PREFIX}token`)
  },
  get isRemembered() {
    return lasting.getItem(`${PREFIX}token`) !== null
  },
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

/** The values whose names begin with `prefix`. */
export function readValues(prefix) {
  const names = []
  for (let at = 0; at < lasting.length; at += 1) {
    const key = lasting.key(at)
    if (key?.startsWith(PREFIX + prefix)) names.push(key.slice(PREFIX.length))
  }
  return names.map((name) => readValue(name)).filter((value) => value !== null)
}
