// What the browser keeps: the logins, the drafts and a few settings. Without storage (it can be forbidden) all is kept in memory.

const PREFIX = 'onesocket.'
const TOKEN = `${PREFIX}token`
const USER = `${PREFIX}user`
const LASTS = `${PREFIX}lasts`
const GONE_MS = 30 * 86_400_000 // a server may have a long outage, and a channel be hidden for a while

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
/** Where drafts and what waits are kept: with the login. On a computer that others use nothing is left when the tab is closed. */
let own = lasting

/**
 * The logins: one for this tab alone (gone when it is closed), or those for the browser, one for each account, of which a new
 * tab takes the last. A script that got into the page could read all, as it could use a cookie; that is why the page's policy
 * lets no foreign script in.
 */
export const login = {
  /** The login that this tab goes on with, `{ token, userId }`, or null. */
  get() {
    return loginOfTab() ?? lastingLogin(ofThisTab.getItem(USER)) ?? lastingLogin(lasting.getItem(USER))
  },
  /** The login of an account, or null. */
  of(userId) {
    const account = loginOfTab()
    return account?.userId === userId ? account : lastingLogin(userId)
  },
  /** Keep a login. Returns false if the browser doesn't: it ends with this page. */
  set({ token, userId }, { remember }) {
    const isKept = remember && keep(lasting, tokenName(userId), token) && keep(lasting, USER, userId)
    if (isKept) ofThisTab.removeItem(TOKEN)
    return keep(ofThisTab, USER, userId) && (isKept || keep(ofThisTab, TOKEN, token))
  },
  /** This tab shows an account: its reload shows the same one, whoever signs in elsewhere, and what it writes is kept with it. */
  use({ userId }) {
    keep(ofThisTab, USER, userId)
    own = loginOfTab() === null || ofThisTab.getItem(LASTS) ? lasting : ofThisTab
  },
  /** Replace a login before the page begins anew: in this tab, as another one may be forgetting the browser's in this moment. */
  replace(account, { remember }) {
    this.set(account, { remember: false })
    if (remember) keep(ofThisTab, LASTS, '1')
  },
  /** The page has begun anew: keep the login where it belongs. */
  settle() {
    const account = loginOfTab()
    if (account && ofThisTab.getItem(LASTS)) this.set(account, { remember: true })
    ofThisTab.removeItem(LASTS)
  },
  /** Forget the browser's login of an account; returns its token, or null. */
  forget(userId) {
    const token = lastingLogin(userId)?.token ?? null
    if (token) this.clear(token)
    return token
  },
  /** Forget a login, and no other. */
  clear(token) {
    if (ofThisTab.getItem(TOKEN) === token) ofThisTab.removeItem(TOKEN)
    const left = namesIn(lasting, TOKEN + '.')
    for (const name of left) if (lasting.getItem(name) === token) lasting.removeItem(name)
    for (const storage of [ofThisTab, lasting]) if (!this.of(storage.getItem(USER))) storage.removeItem(USER)
    const another = namesIn(lasting, TOKEN + '.')[0]
    if (another && !lasting.getItem(USER)) keep(lasting, USER, another.slice(TOKEN.length + 1))
  },
  get isRemembered() {
    return loginOfTab() === null && this.get() !== null
  },
}

function loginOfTab() {
  const token = ofThisTab.getItem(TOKEN)
  const userId = ofThisTab.getItem(USER)
  return token && userId ? { token, userId } : null
}

function lastingLogin(userId) {
  const token = userId && lasting.getItem(tokenName(userId))
  return token ? { token, userId } : null
}

function tokenName(userId) {
  return `${TOKEN}.${userId}`
}

/** Keep a text; returns false if the storage is full, and it goes on in memory alone. */
function keep(storage, key, text) {
  try {
    storage.setItem(key, text)
    return true
  } catch {
    return false
  }
}

function read(storage, name, fallback) {
  try {
    return JSON.parse(storage.getItem(PREFIX + name)) ?? fallback
  } catch {
    return fallback
  }
}

function write(storage, name, value) {
  if (value !== null) return keep(storage, PREFIX + name, JSON.stringify(value))
  storage.removeItem(PREFIX + name)
  return true
}

function namesIn(storage, prefix) {
  return Array.from({ length: storage.length }, (_, at) => storage.key(at)).filter((key) => key?.startsWith(prefix))
}

/** Read a setting, a JSON value; `fallback` if there is none. */
export function readSetting(name, fallback = null) {
  return read(lasting, name, fallback)
}

/** Keep a setting, for all accounts of the browser; null removes it. */
export function writeSetting(name, value) {
  write(lasting, name, value)
}

/** Read a JSON value of the account; `fallback` if there is none. */
export function readValue(name, fallback = null) {
  return read(own, name, fallback)
}

/** Keep a JSON value with the account's login; null removes it. Returns false if the browser can't. */
export function writeValue(name, value) {
  return write(own, name, value)
}

/** The account's values whose names begin with `prefix`. */
export function readValues(prefix) {
  return namesIn(own, PREFIX + prefix).map((key) => readValue(key.slice(PREFIX.length))).filter((value) => value !== null)
}

/** The text that is being written in a place: in this tab, or else in the tab that has kept one last. */
export function readDraft(name) {
  return read(ofThisTab, name, null) ?? readValue(name, '')
}

/** Keep a text, for a reload of this tab, and for a tab to come. Without one, that of another tab stays. */
export function writeDraft(name, text) {
  const before = readDraft(name)
  write(ofThisTab, name, text) // an empty one, too, which is this tab's
  if (own !== ofThisTab && (text || before === readValue(name, ''))) writeValue(name, text || null)
}

/** Read the message that a draft replies to, `{ id, authorId, authorName, content }`, or null: kept as a text that is being written. */
export function readReply(name) {
  const kept = readDraft(name)
  return kept ? JSON.parse(kept) : null
}

/** Keep the message that a draft replies to; null: none. */
export function writeReply(name, reply) {
  const kept = reply ? JSON.stringify(reply) : ''
  if (kept !== readDraft(name)) writeDraft(name, kept)
}

/** True if an account has a text that is being written, in this tab or kept for a tab to come. */
export function hasDraft(userId) {
  const kept = [ofThisTab, lasting].flatMap((storage) => namesIn(storage, `${PREFIX}text.${userId}.`))
  return kept.some((key) => readDraft(key.slice(PREFIX.length)).trim())
}

/** Forget the drafts, and what waits, of channels that have been gone for 30 days. `isThere(channelId)`; `now` in ms. */
export function forgetGone(userId, isThere, now) {
  const name = `gone.${userId}.since`
  const known = readValue(name, {})
  const gone = {}
  const kept = ['text', 'reply', 'outbox'].flatMap((kind) => namesIn(own, `${PREFIX}${kind}.${userId}.`))
  for (const key of kept) {
    const channelId = read(own, key.slice(PREFIX.length), null)?.channelId ?? key.split('.').at(-1)
    if (isThere(channelId)) continue
    const since = known[channelId] ?? now
    if (now - since < GONE_MS) gone[channelId] = since
    else for (const storage of [ofThisTab, own]) storage.removeItem(key)
  }
  writeValue(name, Object.keys(gone).length ? gone : null)
}

/** Forget what is kept of an account besides its login: its drafts, what waits, and where it was. */
export function forgetAccount(userId) {
  for (const storage of [ofThisTab, lasting]) {
    for (const kind of ['text', 'reply', 'outbox', 'place', 'gone']) {
      for (const key of namesIn(storage, `${PREFIX}${kind}.${userId}.`)) storage.removeItem(key)
    }
  }
}
