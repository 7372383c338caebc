// A signed-in account: its connection, its requests, and the store that both feed.

import { Store } from '../state/store.js'
import { historyOf } from '../state/histories.js'
import { isUnread } from '../state/attention.js'
import { Api, ApiError } from './api.js'
import { Gateway } from './gateway.js'
import { Sender } from './sender.js'

const PAGE = 50
const TYPING_MS = 8_000

export class Session {
  #gateway
  #sender = null
  #lastTyping = new Map()
  #acknowledged = new Map()
  #listeners = new Map()

  /** `onSignedOut(sentence)`: the token is void. `visibleMessageId()`: of the list's top; null at its bottom. */
  constructor({ token, onSignedOut }) {
    this.store = new Store()
    this.api = new Api(token)
    this.onSignedOut = onSignedOut
    this.visibleMessageId = () => null
    this.#gateway = new Gateway({
      url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/`,
      token,
      onDispatch: (name, data) => this.#dispatched(name, data),
      onState: (connection) => this.#connectionChanged(connection),
    })
    this.#typingTimer = setInterval(() => this.store.dispatch({ type: 'typing-expired', now: Date.now() }), 1_000)
    this.#onWake = () => this.#gateway.wake()
    addEventListener('online', this.#onWake)
    document.addEventListener('visibilitychange', this.#onVisible)
  }

  #typingTimer
  #onWake
  #onVisible = () => document.visibilityState === 'visible' && this.#gateway.wake()

  start() {
    this.#gateway.connect()
  }

  /** Connect now, without waiting out the back-off. */
  reconnect() {
    this.#gateway.wake()
  }

  close() {
    clearInterval(this.#typingTimer)
    removeEventListener('online', this.#onWake)
    document.removeEventListener('visibilitychange', this.#onVisible)
    this.#sender?.close()
    this.#gateway.close()
  }

  /** Call `listener(data, state)` after each dispatch of this name. */
  on(name, listener) {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener])
  }

  // --- messages ---------------------------------------------------------------------------------------------------

  /** Show a channel, at its newest message, or at one message. */
  async open(channelId, messageId = null) {
    this.store.dispatch({ type: 'channel-opened', channelId, messageId })
    const history = historyOf(this.store.state, channelId)
    const isThere = messageId !== null && history.messages.some((message) => message.id === messageId)
    if (messageId !== null && !isThere) await this.#load(channelId, 'around', `around=${messageId}`, { around: messageId })
    else if (messageId === null && (!history.isLoaded || history.hasNewer)) await this.loadLatest(channelId)
  }

  loadLatest(channelId) {
    return this.#load(channelId, 'latest', '')
  }

  loadOlder(channelId) {
    const { messages, hasOlder, loading } = historyOf(this.store.state, channelId)
    if (!hasOlder || loading || !messages.length) return null
    return this.#load(channelId, 'older', `before=${messages[0].id}`)
  }

  loadNewer(channelId) {
    const { messages, hasNewer, loading } = historyOf(this.store.state, channelId)
    if (!hasNewer || loading || !messages.length) return null
    return this.#load(channelId, 'newer', `after=${messages[messages.length - 1].id}`)
  }

  send(draft) {
    this.#sender.send(draft)
    this.#lastTyping.delete(draft.channelId)
  }

  retry(nonce) {
    this.#sender.retry(nonce)
  }

  discard(nonce) {
    return this.#sender.discard(nonce)
  }

  edit(message, content) {
    return this.attempt('edit', () => this.api.patch(`/channels/${message.channelId}/messages/${message.id}`, { content }))
  }

  remove(message) {
    return this.attempt('delete', () => this.api.delete(`/channels/${message.channelId}/messages/${message.id}`))
  }

  /** React with an emoji, or take the own reaction back. */
  toggleReaction(message, name) {
    const isMine = message.reactions.some((reaction) => reaction.name === name && reaction.isMine)
    const path = `/channels/${message.channelId}/messages/${message.id}/reactions/${encodeURIComponent(name)}/@me`
    return this.attempt('react', () => this.api.request(isMine ? 'DELETE' : 'PUT', path))
  }

  /** Tell others that something is being written, at most once in some seconds. */
  typing(channelId) {
    const now = Date.now()
    if (now - (this.#lastTyping.get(channelId) ?? 0) < TYPING_MS || this.#gateway.state !== 'connected') return
    this.#lastTyping.set(channelId, now)
    this.api.post(`/channels/${channelId}/typing`).catch(() => {})
  }

  /** Mark a channel as read up to its newest message. */
  markRead(channelId) {
    const messageId = this.store.state.channels.get(channelId)?.lastMessageId
    if (!messageId || !isUnread(this.store.state, channelId) || this.#acknowledged.get(channelId) === messageId) return
    this.#acknowledged.set(channelId, messageId)
    this.store.dispatch({ type: 'channel-read', channelId, messageId })
    this.api.post(`/channels/${channelId}/messages/${messageId}/ack`).catch(() => this.#acknowledged.delete(channelId))
  }

  /** Search a server's or a conversation's messages; the answer goes to the state. */
  async search(channel, content, offset = 0) {
    const where = channel.guildId ? `/guilds/${channel.guildId}` : `/channels/${channel.id}`
    const query = new URLSearchParams({ content, offset: String(offset) })
    return this.attempt('search', () => this.api.get(`${where}/messages/search?${query}`))
  }

  // --- guilds, channels and people ----------------------------------------------------------------------------------

  requestMembers(guildId) {
    return this.#gateway.requestMembers(guildId)
  }

  /** Perform a request; a failure becomes a notice, which goes when the same kind succeeds. Returns null then. */
  async attempt(action, request) {
    try {
      const answer = await request()
      this.store.dispatch({ type: 'notice-withdrawn', id: `request-${action}` })
      return answer ?? {}
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (error.isUnauthorized) this.onSignedOut('You were signed out.')
      else this.notify({ id: `request-${action}`, kind: 'error', title: TITLES[action] ?? 'That did not work', text: error.message })
      return null
    }
  }

  /** Post a notice; it stays until it is dismissed or withdrawn. */
  notify(notice) {
    this.store.dispatch({ type: 'notice-posted', notice })
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  async #load(channelId, mode, query, { around = null } = {}) {
    this.store.dispatch({ type: 'history-loading', channelId, mode })
    const separator = query ? '&' : ''
    const messages = await this.attempt('history', () => this.api.get(`/channels/${channelId}/messages?limit=${PAGE}${separator}${query}`))
    if (messages === null) {
      this.store.dispatch({ type: 'history-failed', channelId })
      return false
    }
    const newest = this.store.state.channels.get(channelId)?.lastMessageId
    this.store.dispatch({
      type: 'history-loaded', channelId, mode, messages, around, limit: PAGE,
      reachesEnd: messages.some((message) => message.id === newest),
    })
    return true
  }

  #dispatched(name, data) {
    this.store.dispatch({ type: 'dispatch', name, data, now: Date.now() })
    if (name === 'READY') this.#begun(data)
    for (const listener of this.#listeners.get(name) ?? []) listener(data, this.store.state)
  }

  #begun(data) {
    if (!this.#sender) {
      this.#sender = new Sender({ store: this.store, api: this.api, userId: data.user.id })
      this.#sender.restore()
      return
    }
    // A new session: what happened in between was not told.
    const { channelId } = this.store.state.view
    this.store.dispatch({ type: 'histories-stale', except: channelId })
    if (channelId === null) return
    const top = this.visibleMessageId()
    if (top === null) this.loadLatest(channelId)
    else this.#load(channelId, 'around', `around=${top}`, { around: top })
  }

  #connectionChanged(connection) {
    const { state, reason, isResumed } = connection
    const before = this.store.state.connection.state
    this.store.dispatch({
      type: 'connection-changed',
      connection,
      entry: { at: Date.now(), state, text: reason ?? (state === 'connected' ? (isResumed ? 'Resumed: nothing was missed.' : 'A new session.') : null) },
    })
    this.#sender?.connected(state === 'connected')
    if (state === 'waiting' && before !== 'waiting') {
      this.notify({ id: 'connection-lost', kind: 'warning', title: 'No connection', text: `${reason} What you write is sent as soon as it is back.` })
    } else if (state === 'connected') this.store.dispatch({ type: 'notice-withdrawn', id: 'connection-lost' })
    else if (state === 'ended') {
      this.store.dispatch({ type: 'notice-withdrawn', id: 'connection-lost' })
      this.onSignedOut(reason === 'signed-out' ? 'You were signed out. Sign in again.' : 'The server refuses this connection.')
    }
  }
}

const TITLES = {
  history: 'Messages were not loaded',
  edit: 'Not changed',
  delete: 'Not deleted',
  react: 'No reaction',
  search: 'Not found out',
  guild: 'No server was made',
  channel: 'No channel was made',
  invite: 'No invite',
  join: 'Not joined',
  direct: 'No conversation',
  logins: 'Logins were not listed',
  password: 'The password was not changed',
}
