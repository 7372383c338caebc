// A signed-in account: its connection, its requests, and the store that both feed.

import { Store } from '../state/store.js'
import { historyOf } from '../state/histories.js'
import { isUnread } from '../state/attention.js'
import { isNewer } from '../state/ids.js'
import { PresenceBuffer } from '../state/presence_buffer.js'
import { Api, ApiError } from './api.js'
import { Connection } from './connection.js'
import { isOutdated } from './page_version.js'
import { Sender } from './sender.js'
import { forgetGone } from './storage.js'

const PAGE = 50
const TYPING_MS = 8_000
const PRESENCE_MS = 100

export class Session {
  #connection
  #sender = null
  #lastTyping = new Map()
  #acknowledged = new Map()
  #askedForMembers = new Set() // ids of guilds, until it is told anew of one, with some of its members
  #listeners = new Map()
  #loads = 0
  #hasForgotten = false // what is kept of channels that are gone
  #files // nonce -> the files of a message that was not sent before the page was left
  #presences = new PresenceBuffer()
  #presenceTimer = null

  /**
   * `makeClient`: see `Connection`. `onSignedOut(sentence)`: the token is void. `visibleMessageId()`: of the list's top;
   * null at its bottom. `files`: the `unsentFiles` of the session that was left.
   */
  constructor({ token, makeClient, onSignedOut, files = new Map() }) {
    this.#files = files
    this.store = new Store()
    this.api = new Api(token)
    this.onSignedOut = onSignedOut
    this.visibleMessageId = () => null
    this.#connection = new Connection({
      makeClient,
      token,
      beforeToken: () => this.#newToken,
      onDispatch: (name, data) => this.#dispatched(name, data),
      onSnapshot: (parts) => this.#snapshotCame(parts),
      onGap: () => this.#loadAnew(),
      onState: (connection) => this.#connectionChanged(connection),
      onRefused: () => this.#checkToken(),
    })
    this.#typingTimer = setInterval(() => this.store.dispatch({ type: 'typing-expired', now: Date.now() }), 1_000)
    this.#onWake = () => this.#wake()
    addEventListener('online', this.#onWake)
    addEventListener('offline', this.#onOffline)
    document.addEventListener('visibilitychange', this.#onVisible)
  }

  #typingTimer
  #onWake
  #onOffline = () => this.#connection.probe()
  #onVisible = () => document.visibilityState === 'visible' && this.#wake()
  #wasConnected = false
  #newToken = null // while the password is changed: a promise that stays open once it is, as the page begins anew

  start() {
    this.#connection.connect()
  }

  /** Connect now, without waiting out the back-off. */
  reconnect() {
    this.#connection.wake()
  }

  /** The network may be back. */
  #wake() {
    this.#connection.wake()
    this.#sender?.wake()
    this.#loadWhatFailed()
  }

  /** The files of messages that are not sent, by nonce: the browser keeps their texts alone. */
  get unsentFiles() {
    return new Map(this.store.state.outbox.filter(({ files }) => files.length).map(({ nonce, files }) => [nonce, files]))
  }

  close() {
    clearInterval(this.#typingTimer)
    clearTimeout(this.#presenceTimer)
    removeEventListener('online', this.#onWake)
    removeEventListener('offline', this.#onOffline)
    document.removeEventListener('visibilitychange', this.#onVisible)
    this.#sender?.close()
    this.#connection.close()
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
    if (messageId !== null && !isThere) await this.#loadAroundMessage(channelId, messageId)
    else if (messageId === null && (!history.isLoaded || history.hasNewer)) {
      await this.loadLatest(channelId)
      await this.#loadAroundDivider(channelId)
    }
  }

  async #loadAroundMessage(channelId, messageId) {
    await this.#load(channelId, 'around', `around=${encodeURIComponent(messageId)}`, { around: messageId })
    const { view } = this.store.state
    const isFound = historyOf(this.store.state, channelId).messages.some((message) => message.id === messageId)
    if (isFound || view.channelId !== channelId || view.messageId !== messageId) return
    this.store.dispatch({ type: 'jump-done' })
    this.notify({ id: 'jump', kind: 'info', title: 'Not found', text: 'This message is not there any more.' })
    if (!historyOf(this.store.state, channelId).isLoaded) await this.loadLatest(channelId) // the server knew no such place
  }

  /** More is new than the page that was loaded: it begins where reading ended. */
  #loadAroundDivider(channelId) {
    const { state } = this.store
    const divider = state.divider.get(channelId)
    const { messages, hasOlder } = historyOf(state, channelId)
    const isAbove = hasOlder && messages.length && isNewer(messages[0].id, divider)
    // Where nothing was ever read, that would be the very first message: the newest ones are of more use.
    if (!divider || divider === '0' || !isAbove || state.view.channelId !== channelId) return null
    return this.#load(channelId, 'around', `around=${divider}`, { around: divider })
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
    if (now - (this.#lastTyping.get(channelId) ?? 0) < TYPING_MS || this.#connection.state !== 'connected') return
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

  /** Search a server's or a conversation's messages; null: it failed, or was cancelled by `signal`. */
  async search(channel, content, { offset = 0, signal = null } = {}) {
    const where = channel.guildId ? `/guilds/${channel.guildId}` : `/channels/${channel.id}`
    const query = new URLSearchParams({ content, offset: String(offset) })
    return this.attempt('search', () => this.api.get(`${where}/messages/search?${query}`, { signal }))
  }

  // --- guilds, channels and people ----------------------------------------------------------------------------------

  /** Ask for all members of a large guild, unless that is done. */
  requestMembers(guildId) {
    if (this.#connection.state !== 'connected' || this.#askedForMembers.has(guildId)) return
    this.#askedForMembers.add(guildId)
    this.#connection.requestMembers(guildId).catch(() => this.#askedForMembers.delete(guildId)) // the next change asks again
  }

  /**
   * Perform a request; returns null if it fails. That becomes a notice, which goes when the same kind succeeds, unless
   * `refuse(sentence, fields)` shows it, and returns true.
   */
  async attempt(action, request, refuse = null) {
    try {
      const answer = await request()
      this.store.dispatch({ type: 'notice-withdrawn', id: `request-${action}` })
      return answer ?? {}
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (error.isCancelled) return null
      if (error.isUnauthorized) {
        if (action !== 'password') await this.#newToken
        this.onSignedOut('You were signed out.')
      } else if (!refuse?.(error.message, error.fields)) this.notify({ id: `request-${action}`, kind: 'error', title: TITLES[action] ?? 'That did not work', text: error.message })
      return null
    }
  }

  /**
   * Change the password; resolves with the new token, or null. The old one is void before that is known here. `refuse`: as for
   * `attempt`.
   */
  async changePassword(given, refuse) {
    let done = () => {}
    this.#newToken = new Promise((resolve) => (done = resolve))
    const answer = await this.attempt('password', () => this.api.patch('/users/@me', given), refuse)
    if (!answer?.token) done() // else the page begins anew, with the new one
    return answer?.token ?? null
  }

  /** Post a notice; it stays until it is dismissed or withdrawn. */
  notify(notice) {
    this.store.dispatch({ type: 'notice-posted', notice })
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  async #load(channelId, mode, query, { around = null } = {}) {
    const load = (this.#loads += 1)
    this.store.dispatch({ type: 'history-loading', channelId, mode, load })
    const separator = query ? '&' : ''
    const messages = await this.attempt('history', () => this.api.get(`/channels/${channelId}/messages?limit=${PAGE}${separator}${query}`))
    if (messages === null) {
      this.store.dispatch({ type: 'history-failed', channelId, load })
      return false
    }
    const newest = this.store.state.channels.get(channelId)?.lastMessageId
    this.store.dispatch({
      type: 'history-loaded', channelId, mode, load, messages, around, limit: PAGE,
      reachesEnd: messages.some((message) => message.id === newest),
    })
    return true
  }

  /** What is shown was not loaded, as there was no network. */
  #loadWhatFailed() {
    const { channelId } = this.store.state.view
    const { isLoaded, loading, load } = historyOf(this.store.state, channelId)
    if (channelId !== null && !isLoaded && !loading && load !== null) this.loadLatest(channelId)
  }

  #dispatched(name, data) {
    if (this.#presences.take(name, data)) {
      this.#presenceTimer ??= setTimeout(() => this.#applyPresences(), PRESENCE_MS)
      return
    }
    if (this.#presences.precedes(name)) this.#applyPresences()
    if (name === 'GUILD_CREATE') this.#askedForMembers.delete(data.id)
    this.store.dispatch({ type: 'dispatch', name, data, now: Date.now() })
    if (name === 'READY') this.#begun(data.user.id)
    this.#forgetGone()
    for (const listener of this.#listeners.get(name) ?? []) listener(data, this.store.state)
  }

  /** This tab has joined a connection of others: what they were told is told at once. */
  #snapshotCame(parts) {
    this.#applyPresences()
    this.#askedForMembers.clear()
    this.store.dispatch({ type: 'snapshot', parts })
    this.#begun(parts.me.id)
    this.#forgetGone()
  }

  /** Once all guilds have come it is known which channels are gone. */
  #forgetGone() {
    const { isReady, awaited, channels, me } = this.store.state
    if (this.#hasForgotten || !isReady || awaited.size) return
    this.#hasForgotten = true
    forgetGone(me.id, (channelId) => channels.has(channelId), Date.now())
  }

  /** A login was refused, which may be another tab's of this account, with a token of its own. */
  async #checkToken() {
    await this.#newToken
    const isVoid = await this.api.get('/users/@me').then(() => false, (error) => error.isUnauthorized)
    if (isVoid) this.onSignedOut('You were signed out. Sign in again.')
  }

  #applyPresences() {
    clearTimeout(this.#presenceTimer)
    this.#presenceTimer = null
    const action = this.#presences.action()
    if (action) this.store.dispatch(action)
  }

  #begun(userId) {
    if (!this.#sender) {
      this.#sender = new Sender({ store: this.store, api: this.api, userId })
      this.#sender.restore(this.#files)
      return
    }
    this.#loadAnew()
  }

  /** A new session, or a gap: what happened in between was not told. */
  #loadAnew() {
    const { channelId } = this.store.state.view
    this.store.dispatch({ type: 'histories-stale', except: channelId })
    if (channelId === null) return
    const top = this.visibleMessageId()
    if (top === null) this.loadLatest(channelId)
    else this.#load(channelId, 'around', `around=${top}`, { around: top })
  }

  /** The server may have been upgraded while it was away. */
  async #checkVersion() {
    if (!(await isOutdated())) return
    const action = { label: 'Reload', run: () => location.reload() }
    this.notify({ id: 'version', kind: 'warning', title: 'The page is out of date', text: 'The server has a newer one. Reload, when it suits you.', action })
  }

  #connectionChanged(connection) {
    const { state, reason, detail, isResumed } = connection
    const why = detail ? `${reason} (${detail})` : reason
    const before = this.store.state.connection.state
    this.store.dispatch({
      type: 'connection-changed',
      connection,
      entry: { at: Date.now(), state, text: why ?? (state === 'connected' ? (isResumed ? 'Resumed: nothing was missed.' : 'A new session.') : null) },
    })
    this.#sender?.connected(state === 'connected')
    if (state === 'connected') {
      this.#loadWhatFailed()
      if (this.#wasConnected) this.#checkVersion()
      this.#wasConnected = true
    }
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
  bans: 'Bans were not listed',
  lift: 'The ban was not lifted',
  logins: 'Logins were not listed',
  password: 'The password was not changed',
}
