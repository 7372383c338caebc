// The connection to the gateway: one WebSocket, Identify or Resume, heartbeats, and back-off with jitter.

const HELLO_MS = 10_000 // from the dial to READY or RESUMED
const MAX_HEARTBEAT_MS = 15_000 // people notice a dead connection before Discord's 41 seconds
const ACK_MS = 8_000
const MIN_BACKOFF_MS = 500
const MAX_BACKOFF_MS = 20_000
const PROVEN_MS = 5_000 // a connection that lasts as long resets the back-off
const FATAL = new Map([
  [4004, 'signed-out'],
  [4010, 'refused'],
  [4011, 'refused'],
  [4012, 'refused'],
  [4013, 'refused'],
  [4014, 'refused'],
])
const NEW_SESSION = new Set([4003, 4007, 4009])
const RESUMABLE_CLOSE = 4900 // neither 1000 nor 1001, which end the session

const INTENTS = [0, 1, 8, 9, 10, 11, 12, 13, 14, 15].reduce((bits, bit) => bits | (1 << bit), 0)

const Op = { DISPATCH: 0, HEARTBEAT: 1, IDENTIFY: 2, RESUME: 6, RECONNECT: 7, MEMBERS: 8, INVALID: 9, HELLO: 10, ACK: 11 }

/**
 * States: `closed`, `connecting`, `connected`, `waiting` (until `retryAt`), `ended` (for good, with a `reason`).
 * Every attempt has a number; what an earlier one still reports is ignored.
 */
export class Gateway {
  #options
  #token
  #socket = null
  #epoch = 0
  #timers = new Map()
  #session = null // { id, url } of the session that can be resumed
  #seq = null
  #failures = 0
  #interval = 0 // of heartbeats
  state = 'closed'

  /** `onDispatch(name, data)`, `onState({ state, reason, retryAt, attempt })`; `WebSocket`, `random`, `now` for tests. */
  constructor({ url, token, onDispatch, onState, WebSocket = globalThis.WebSocket, random = Math.random, now = Date.now }) {
    this.#options = { url, onDispatch, onState, WebSocket, random, now }
    this.#token = token
  }

  /** Connect, unless that is done or under way. From `waiting`: at once. */
  connect() {
    if (this.state === 'closed' || this.state === 'waiting') this.#dial()
  }

  /** Close in order; the session ends. */
  close() {
    this.#session = null
    this.#drop(1000)
    this.#change('closed')
  }

  /** The network is back, or the page was asleep: connect now, or make sure that the connection is alive. */
  wake() {
    if (this.state === 'waiting') this.#dial()
    else if (this.state === 'connected') this.#heartbeat()
  }

  /** Ask for the members of a guild; they come as GUILD_MEMBERS_CHUNK. Returns false while there is no connection. */
  requestMembers(guildId) {
    return this.state === 'connected' && this.#send(Op.MEMBERS, { guild_id: guildId, query: '', limit: 0, presences: true })
  }

  // --- one attempt ------------------------------------------------------------------------------------------------

  #dial() {
    this.#drop(RESUMABLE_CLOSE)
    const epoch = ++this.#epoch
    this.#change('connecting')
    let socket
    try {
      socket = new this.#options.WebSocket(`${this.#options.url}?v=10&encoding=json`)
    } catch {
      this.#retry('The address of the server is not valid.')
      return
    }
    this.#socket = socket
    const isMine = () => epoch === this.#epoch
    socket.onmessage = (event) => isMine() && this.#receive(event.data)
    socket.onclose = (event) => isMine() && this.#closed(event.code)
    this.#after('hello', HELLO_MS, () => this.#fail('The server did not answer in time.'))
  }

  #receive(text) {
    let message
    try {
      message = JSON.parse(text)
    } catch {
      this.#fail('The server sent something that can’t be read.')
      return
    }
    const { op, d, s, t } = message
    if (op === Op.DISPATCH) {
      this.#seq = s
      this.#dispatch(t, d)
    } else if (op === Op.HELLO) this.#hello(d.heartbeat_interval)
    else if (op === Op.ACK) this.#cancel('ack')
    else if (op === Op.HEARTBEAT) this.#heartbeat()
    else if (op === Op.RECONNECT) this.#fail('The server restarts.', { soon: true })
    else if (op === Op.INVALID) {
      if (!d) this.#session = null
      // Discord asks for one to five seconds before a new Identify.
      this.#fail('The session was not known any more.', { soon: true })
    }
  }

  #hello(interval) {
    this.#interval = Math.min(interval, MAX_HEARTBEAT_MS)
    this.#after('beat', this.#interval * this.#options.random(), () => this.#heartbeat())
    if (this.#session) this.#send(Op.RESUME, { token: this.#token, session_id: this.#session, seq: this.#seq })
    else {
      this.#seq = null
      const properties = { os: 'browser', browser: 'onesocket', device: 'onesocket' }
      this.#send(Op.IDENTIFY, { token: this.#token, intents: INTENTS, large_threshold: 250, properties })
    }
  }

  #dispatch(name, data) {
    if (name === 'READY') this.#session = data.session_id
    if (name === 'READY' || name === 'RESUMED') {
      this.#cancel('hello')
      this.#after('proven', PROVEN_MS, () => (this.#failures = 0))
    }
    this.#options.onDispatch(name, data)
    if (name === 'READY' || name === 'RESUMED') this.#change('connected', { isResumed: name === 'RESUMED' })
  }

  #heartbeat() {
    if (!this.#socket) return
    this.#send(Op.HEARTBEAT, this.#seq)
    // One that waits for its answer is not forgotten for the next one.
    if (!this.#timers.has('ack')) this.#after('ack', ACK_MS, () => this.#fail('The server does not answer any more.'))
    if (this.#interval) this.#after('beat', this.#interval, () => this.#heartbeat())
  }

  #send(op, d) {
    if (this.#socket?.readyState !== 1) return false
    this.#socket.send(JSON.stringify({ op, d }))
    return true
  }

  // --- the end of an attempt ---------------------------------------------------------------------------------------

  #closed(code) {
    this.#socket = null
    if (code === 1000 || NEW_SESSION.has(code)) this.#session = null
    const reason = FATAL.get(code)
    if (reason) {
      this.#session = null
      this.#drop(1000)
      this.#change('ended', { reason })
    } else if (this.state === 'connected') this.#retry('The connection was lost.', { soon: true })
    else this.#retry('The server can’t be reached.')
  }

  #fail(reason, options) {
    this.#drop(RESUMABLE_CLOSE)
    this.#retry(reason, options)
  }

  #retry(reason, { soon = false } = {}) {
    this.#drop(RESUMABLE_CLOSE)
    const step = Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 10)
    // Half of it at random: thousands of clients of a server that restarts don't come back in the same moment.
    const delay = soon && this.#failures === 1 ? this.#options.random() * MIN_BACKOFF_MS : step * (0.5 + this.#options.random() / 2)
    this.#after('retry', delay, () => this.#dial())
    this.#change('waiting', { reason, retryAt: this.#options.now() + delay })
  }

  /** Leave the current socket: nothing that it reports counts any more. */
  #drop(code) {
    this.#epoch += 1
    for (const name of [...this.#timers.keys()]) this.#cancel(name)
    const socket = this.#socket
    this.#socket = null
    if (socket && socket.readyState < 2) socket.close(code)
  }

  #change(state, more = {}) {
    this.state = state
    this.#options.onState({ state, reason: null, retryAt: null, isResumed: false, attempt: this.#epoch, ...more })
  }

  #after(name, delay, callback) {
    this.#cancel(name)
    this.#timers.set(name, setTimeout(callback, delay))
  }

  #cancel(name) {
    clearTimeout(this.#timers.get(name))
    this.#timers.delete(name)
  }
}
