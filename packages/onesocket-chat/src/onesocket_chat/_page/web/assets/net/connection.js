// The page's view of the connection, which all tabs of an account share: its states in words, and what it delivers.

import { Gap, GapReason, State } from '../onesocket/index.js'
import { SNAPSHOT } from './feed.js'

const REQUEST_MEMBERS = 8
const AGAIN_MS = 20_000 // after a failure that ended the client's own attempts, and may pass
const STATES = {
  [State.DISCONNECTED]: 'closed',
  [State.CONNECTING]: 'connecting',
  [State.BACKING_OFF]: 'waiting',
  [State.CLOSING]: 'connecting',
  [State.STOPPED]: 'closed',
  [State.CLOSED]: 'closed',
}
const SENTENCES = {
  OpenTimeout: 'The server did not answer in time.',
  ConnectFailed: 'The server can’t be reached.',
  PingTimeout: 'The server does not answer any more.',
  OwnerLost: 'The tab that held the connection was closed.',
  ServerBusy: 'The server has too much to do.',
  UsageError: 'The browser does not let this tab share a connection.',
  DecodeError: 'The server sent something that can’t be read.',
}
const LOST = 'The connection was lost.'
/** Of a tab that the others, or the browser, don't let share. */
const SHARING_ERRORS = ['UsageError', 'OptionConflict', 'VersionMismatch']

/**
 * States: `closed`, `connecting`, `connected`, `waiting` (until `retryAt`, if that is known), `ended` (for good, with a
 * `reason`). `connected` means that READY, RESUMED or a snapshot has come.
 */
export class Connection {
  #client
  #token
  #options
  #isEnded = false
  #hasBegun = false // READY, or a snapshot, has come at least once
  #stopAsking = () => {}
  #timer = null
  state = 'closed'

  /**
   * `makeClient({ token, onError })`: a client, or one that tabs share. `onDispatch(name, data)`, `onSnapshot(parts)`,
   * `onGap()`: a message is missing; `onState({ state, reason, detail, retryAt, isResumed })`; `onRefused()`: the server
   * has refused a login, which may be another tab's. `beforeToken()`: awaited before the token is given.
   */
  constructor({ makeClient, token, beforeToken = () => null, now = Date.now, ...options }) {
    this.#token = token
    this.#options = { ...options, beforeToken, now }
    this.#client = makeClient({
      token: (previous, error) => this.#giveToken(previous, error),
      onError: (error) => this.#isEnded || reportError(error),
    })
    this.#client.on((item) => this.#take(item), { gaps: true })
    this.#client.onChange((change) => this.#changed(change))
  }

  /** Connect, unless that is done or under way; from `waiting`: at once. */
  connect() {
    this.#client.connect({ retry: true }).catch((error) => this.#notConnected(error))
  }

  /** The states tell of the connection; of a tab that may not share it only its own call does. */
  #notConnected(error) {
    if (!this.#isEnded && SHARING_ERRORS.includes(error.name)) this.#waitAndTry(error)
  }

  /** Leave: the last tab closes the connection, and the session ends. */
  close() {
    this.#isEnded = true
    clearTimeout(this.#timer)
    this.#stopAsking()
    return this.#client.close()
  }

  /** The network is back, or the page was asleep: a connection may be dead. */
  wake() {
    if (this.state === 'waiting') this.connect()
    else this.probe()
  }

  /** The network may be gone: that is told in seconds, instead of with the next heartbeats. */
  probe() {
    if (this.state === 'connected') this.#client.probe().catch(() => {}) // another tab is taking over
  }

  /** Ask for the members of a guild; they come as GUILD_MEMBERS_CHUNK. Rejects if it isn't known that this was sent. */
  requestMembers(guildId) {
    const d = { guild_id: guildId, query: '', limit: 0, presences: true }
    return this.#client.send({ op: REQUEST_MEMBERS, d })
  }

  async #giveToken(previous, error) {
    await this.#options.beforeToken()
    if (error !== null && previous === this.#token) {
      this.#end('signed-out', error)
      throw new Error('the token is void')
    }
    return this.#token
  }

  #take(item) {
    if (this.#isEnded) return
    if (item instanceof Gap) {
      // After a loss without a resume READY follows.
      if (item.reason !== GapReason.RECONNECTED) this.#options.onGap()
      return
    }
    const { event, data } = item
    if (event === SNAPSHOT || event === 'READY') this.#hasBegun = true
    if (event === SNAPSHOT) this.#options.onSnapshot(data)
    else this.#options.onDispatch(event, data)
    if (event === SNAPSHOT || event === 'READY' || event === 'RESUMED') {
      if (this.#client.isConnected) this.#change('connected', { isResumed: event === 'RESUMED' })
    }
  }

  #changed({ new: next, error, cause }) {
    if (this.#isEnded) return
    clearTimeout(this.#timer)
    this.#stopAsking()
    // The connection of another worker, or leading tab, which other tabs have joined before: its READY was not for this one.
    if (next === State.CONNECTED && cause === 'OwnerFound' && this.#hasBegun) {
      this.#stopAsking = this.#client.on(SNAPSHOT, (item) => this.#take(item))
    }
    const detail = error?.message ?? null
    if (next === State.FAILED) this.#failed(error)
    else if (next === State.BACKING_OFF) {
      if (error?.name === 'LoginRefused') this.#options.onRefused()
      const { retryIn } = this.#client.status
      const retryAt = retryIn === null ? null : this.#options.now() + retryIn * 1_000
      this.#change('waiting', { reason: SENTENCES[error?.name] ?? LOST, detail, retryAt })
    } else if (next !== State.CONNECTED) this.#change(STATES[next])
  }

  #failed(error) {
    if (error?.retryable) this.#waitAndTry(error)
    else this.#end(error?.name === 'LoginRefused' ? 'signed-out' : 'refused', error)
  }

  #waitAndTry(error) {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.connect(), AGAIN_MS)
    this.#change('waiting', { reason: SENTENCES[error.name] ?? LOST, detail: error.message, retryAt: this.#options.now() + AGAIN_MS })
  }

  #end(reason, error) {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#change('ended', { reason, detail: error?.message ?? null })
  }

  #change(state, more = {}) {
    if (state === this.state && state !== 'waiting' && state !== 'connected') return
    this.state = state
    this.#options.onState({ state, reason: null, detail: null, retryAt: null, isResumed: false, ...more })
  }
}
