// Sends the outbox: in order per channel, each message once, while the connection is up.

import { plural } from '../text/format.js'
import { ApiError } from './api.js'
import { readValue, readValues, writeValue } from './storage.js'

const MAX_AGE_MS = 30 * 60_000
const NONCE_MS = 9 * 60_000 // the server refuses a repeated nonce for ten minutes
const SHORT_LIMIT = 2 // seconds of a rate limit that a request waits out; through a longer one its message waits, and can be discarded
const PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000]

/**
 * A draft's nonce makes the server store it once, for minutes. One that was sent longer ago is looked for in the channel's
 * history first. Drafts are kept by the browser; of several tabs one sends those of a channel.
 */
export class Sender {
  #store
  #api
  #userId
  #queues = new Map() // channel id -> the promise of its last draft
  #isConnected = false
  #waiters = new Set()
  #notBefore = new Map() // channel id -> time (ms) at which the server takes its next message
  #pauses = new Map() // nonce -> ends the pause of its draft
  #unkept = new Set() // nonces of drafts that the browser doesn't keep, as its storage is full
  #isClosed = false

  constructor({ store, api, userId }) {
    this.#store = store
    this.#api = api
    this.#userId = userId
  }

  /** Go on with what the browser kept. `files`: those that this page has, by nonce. */
  restore(files = new Map()) {
    const known = new Set(this.#store.state.outbox.map((draft) => draft.nonce))
    const drafts = readValues(`outbox.${this.#userId}.`).filter((draft) => !known.has(draft.nonce))
    drafts.sort((a, b) => a.at - b.at)
    if (!drafts.length) return
    const restored = drafts.map((draft) =>
      draft.fileNames.length && !files.has(draft.nonce)
        ? { ...draft, files: [], state: 'failed', error: 'Its files were not kept. Choose them again.' }
        : { ...draft, files: files.get(draft.nonce) ?? [], state: draft.state === 'failed' ? 'failed' : 'waiting' },
    )
    this.#store.dispatch({ type: 'outbox-restored', drafts: restored })
    for (const draft of restored) if (draft.state === 'waiting') this.#enqueue(draft.channelId, draft.nonce)
  }

  /** Accept a message; it is sent as soon as the connection is up. */
  send({ channelId, content, replyTo = null, files = [] }) {
    const nonce = newNonce()
    const after = this.#store.state.channels.get(channelId)?.lastMessageId ?? null
    const draft = {
      nonce, channelId, content, replyTo, files, after,
      fileNames: files.map((file) => file.name),
      at: Date.now(),
      state: 'waiting',
      error: null,
      firstSentAt: null,
    }
    this.#keep(draft)
    this.#store.dispatch({ type: 'draft-added', draft })
    this.#enqueue(channelId, nonce)
  }

  /** Try a failed draft again. */
  retry(nonce) {
    const draft = this.#find(nonce)
    if (draft?.state !== 'failed') return
    this.#change(nonce, { state: 'waiting', error: null, at: Date.now() })
    this.#enqueue(draft.channelId, nonce)
  }

  /** Discard a draft that isn't being sent; returns it, or null. */
  discard(nonce) {
    const draft = this.#find(nonce)
    if (!draft || draft.state === 'sending') return null
    this.#remove(nonce)
    this.#pauses.get(nonce)?.() // its channel's next one is not kept waiting by it
    return draft
  }

  /** Note whether the connection is up. */
  connected(isConnected) {
    this.#isConnected = isConnected
    this.#tellWaits()
    if (isConnected) this.wake()
  }

  /** The network is back: nothing waits any longer before it is tried again. */
  wake() {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const resolve of waiters) resolve()
  }

  /** Send nothing more; what is left stays with the browser. */
  close() {
    this.#isClosed = true
    this.wake()
    for (const end of [...this.#pauses.values()]) end()
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  #enqueue(channelId, nonce) {
    const before = this.#queues.get(channelId) ?? Promise.resolve()
    const turn = before.then(() => withLock(`onesocket.send.${this.#userId}.${channelId}`, () => this.#deliver(nonce)))
    this.#queues.set(channelId, turn.catch(() => {}))
  }

  async #deliver(nonce) {
    for (let tries = 0; ; tries += 1) {
      await this.#untilTaken(nonce)
      await this.#untilConnected()
      const missing = await firstUnreadable(this.#find(nonce)?.files ?? []) // Firefox waits for ever to send such a file
      if (this.#isDoneElsewhere(nonce)) return
      const draft = this.#find(nonce)
      if (this.#isClosed || draft?.state !== 'waiting') return
      if (Date.now() - draft.at > MAX_AGE_MS) {
        this.#change(nonce, { state: 'failed', error: 'It waited too long. Send it again?' })
        return
      }
      if (missing) return this.#failWithout(nonce, missing)
      // From here on it may be stored; the browser remembers this, since the page can end before the answer comes.
      this.#change(nonce, { state: 'sending', firstSentAt: draft.firstSentAt ?? Date.now() })
      try {
        const message = (await this.#storedEarlier(draft)) ?? (await this.#post(draft))
        this.#forget(nonce)
        this.#store.dispatch({ type: 'message-stored', message: { ...message, nonce } })
        this.#store.dispatch({ type: 'draft-removed', nonce })
        return
      } catch (error) {
        if (!(error instanceof ApiError)) throw error
        if (!this.#find(nonce) || this.#isDoneElsewhere(nonce)) return // its event came, and the answer didn't
        const unreadable = error.status === 0 ? await firstUnreadable(draft.files) : null
        if (unreadable) return this.#failWithout(nonce, unreadable)
        if (error.isUnauthorized || error.retryable) {
          this.#change(nonce, { state: 'waiting', error: this.#isConnected ? reasonToWait(error) : null })
          if (error.isUnauthorized) return // for the next sign-in
          // No longer than any message waits: then people decide.
          if (error.retryAfter > 0) this.#notBefore.set(draft.channelId, Date.now() + Math.min(error.retryAfter * 1_000, MAX_AGE_MS + 1))
          else await this.#pause(nonce, PAUSES_MS[Math.min(tries, PAUSES_MS.length - 1)], { endsByNetwork: true })
        } else {
          this.#change(nonce, { state: 'failed', error: error.message })
          return
        }
      }
    }
  }

  #post(draft) {
    const body = { content: draft.content, nonce: draft.nonce, enforce_nonce: true }
    if (draft.replyTo) body.message_reference = { message_id: draft.replyTo.id, fail_if_not_exists: false }
    const path = `/channels/${draft.channelId}/messages`
    if (!draft.files.length) return this.#api.post(path, body, { maxWait: SHORT_LIMIT })
    const form = new FormData()
    body.attachments = draft.files.map((file, id) => ({ id, filename: file.name }))
    form.append('payload_json', JSON.stringify(body))
    draft.files.forEach((file, id) => form.append(`files[${id}]`, file, file.name))
    return this.#api.request('POST', path, form, { timeout: 300_000, maxWait: SHORT_LIMIT })
  }

  /** The stored message of a draft whose answer was lost so long ago that the server may have forgotten its nonce. */
  async #storedEarlier(draft) {
    if (draft.firstSentAt === null || Date.now() - draft.firstSentAt < NONCE_MS) return null
    let after = draft.after ?? '0'
    for (;;) {
      const page = await this.#api.get(`/channels/${draft.channelId}/messages?limit=100&after=${after}`)
      const found = page.find((message) => message.nonce === draft.nonce && message.author.id === this.#userId)
      if (found || page.length < 100) return found ?? null
      after = page[0].id
    }
  }

  async #untilConnected() {
    while (!this.#isConnected && !this.#isClosed) await new Promise((resolve) => this.#waiters.add(resolve))
  }

  /** Wait until the server has said that it takes the channel's next message. */
  async #untilTaken(nonce) {
    const draft = this.#find(nonce)
    const left = (this.#notBefore.get(draft?.channelId) ?? 0) - Date.now()
    if (left <= 0) return
    if (this.#isConnected && draft.state === 'waiting' && draft.error === null) this.#change(nonce, { error: moreIn(left / 1_000) })
    await this.#pause(nonce, left)
  }

  /** Without a connection it is that which messages wait for; with one, what the server has said. */
  #tellWaits() {
    for (const { nonce, channelId, state, error } of this.#store.state.outbox) {
      if (state !== 'waiting') continue
      const left = (this.#notBefore.get(channelId) ?? 0) - Date.now()
      const isTold = this.#isConnected && left > 0 && this.#pauses.has(nonce)
      if (!isTold && error === null) continue
      // Only shown, not kept: another tab may be sending it, or have sent it.
      this.#store.dispatch({ type: 'draft-changed', nonce, changes: { error: isTold ? moreIn(left / 1_000) : null } })
    }
  }

  /** Wait for `ms`, until the draft is discarded, or the page is left; with `endsByNetwork` until the network is back. */
  async #pause(nonce, ms, { endsByNetwork = false } = {}) {
    if (this.#isClosed) return
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      const end = () => (clearTimeout(timer), resolve())
      this.#pauses.set(nonce, end)
      if (endsByNetwork) this.#waiters.add(end)
    })
    this.#pauses.delete(nonce)
  }

  /** True if another tab has sent or discarded the draft, which is gone here then, too. */
  #isDoneElsewhere(nonce) {
    if (this.#isClosed || !this.#find(nonce) || this.#unkept.has(nonce) || readValue(this.#key(nonce)) !== null) return false
    this.#remove(nonce)
    return true
  }

  #find(nonce) {
    return this.#store.state.outbox.find((draft) => draft.nonce === nonce)
  }

  #change(nonce, changes) {
    this.#store.dispatch({ type: 'draft-changed', nonce, changes })
    const draft = this.#find(nonce)
    if (draft) this.#keep(draft)
  }

  #failWithout(nonce, file) {
    this.#change(nonce, { state: 'failed', error: `${file.name} can’t be read any more. Choose it again.` })
  }

  #remove(nonce) {
    this.#forget(nonce)
    this.#store.dispatch({ type: 'draft-removed', nonce })
  }

  #key(nonce) {
    return `outbox.${this.#userId}.${nonce}`
  }

  #keep({ files, ...draft }) {
    void files // a File can't be kept as text
    if (this.#isClosed) return // the account may be forgotten by now
    if (writeValue(this.#key(draft.nonce), draft)) this.#unkept.delete(draft.nonce)
    else this.#unkept.add(draft.nonce)
  }

  #forget(nonce) {
    this.#unkept.delete(nonce)
    writeValue(this.#key(nonce), null)
  }
}

/** Why a draft waits although there is a connection, in a sentence; null: for the connection. */
function reasonToWait({ status, retryAfter, message }) {
  if (status === 0 || status === 401) return null
  return retryAfter > 0 ? moreIn(retryAfter) : message
}

function moreIn(seconds) {
  return `The server takes more in ${plural(Math.ceil(seconds), 'second')}.`
}

/** Without a secure context, or storage, there are no locks; then the nonce alone keeps two tabs from sending twice. */
async function withLock(name, work) {
  let hasBegun = false
  const begin = () => {
    hasBegun = true
    return work()
  }
  try {
    return await navigator.locks.request(name, begin)
  } catch (error) {
    if (hasBegun) throw error
    return work()
  }
}

/** The first of these files that is gone, or was changed since it was chosen: a request with it fails as without a network. */
async function firstUnreadable(files) {
  for (const file of files) {
    try {
      await file.slice(0, 1).arrayBuffer()
    } catch {
      return file
    }
  }
  return null
}

function newNonce() {
  const bytes = crypto.getRandomValues(new Uint8Array(12))
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
