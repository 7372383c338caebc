// Which conversation is shown: that of the address, or where the account was last, or the first one.

import { readValue, writeValue } from '../net/storage.js'
import { pathOf } from './names.js'

const WANTED_MS = 10_000 // what comes later would take people from what they are doing by then

export class Navigation {
  #session
  #options
  #opened = null // { channel, guild } of what is shown
  #left = null // the guild that the user leaves: it needs no explanation
  #wanted = null // the channel that is opened as soon as it is known: { channelId, until (ms) }
  /** What was shown and is no longer there: `{ channel, guild }`, where the guild is null if that is there. Or null. */
  gone = null

  /**
   * `order(state)`: the ids of the conversations, from top to bottom. `onArrived()`: one was opened without a click.
   * `onWanted(channelId)`: one that was waited for is known, and has to be opened.
   */
  constructor(session, { order, onArrived, onWanted }) {
    this.#session = session
    this.#options = { order, onArrived, onWanted }
  }

  /** Show a channel, and one of its messages. */
  open(channelId, messageId = null, { push = true } = {}) {
    const { state } = this.#session.store
    const channel = state.channels.get(channelId)
    if (!channel) return null // a notification's, which is gone
    const path = pathOf(state, channelId, messageId)
    if (push && location.pathname !== path) history.pushState(null, '', path)
    this.gone = this.#wanted = null
    if (channel.guildId === this.#left) this.#left = null // the user is back
    this.#note(state, channel)
    writeValue(placeName(state), { guildId: channel.guildId, channelId })
    return this.#session.open(channelId, messageId)
  }

  /** Show a channel of a guild that was just entered, and comes by itself; unless another one is opened meanwhile. */
  openOnceKnown(channelId) {
    this.#wanted = { channelId, until: Date.now() + WANTED_MS }
    this.settle()
  }

  /** The user leaves a guild. */
  leaves(guild) {
    this.#left = guild.id
  }

  /** The address has changed, by the browser's buttons. */
  addressChanged() {
    const { state } = this.#session.store
    const { channelId, messageId } = addressed()
    if (state.channels.has(channelId)) this.open(channelId, messageId, { push: false })
    else if (state.isReady) this.#openFirst(state)
    this.#options.onArrived()
  }

  /** Open a conversation if none is, as soon as it is known which; notice that the one that is open is gone. */
  settle() {
    const { state } = this.#session.store
    if (!state.isReady) return
    if (this.#wanted !== null && Date.now() > this.#wanted.until) this.#wanted = null
    if (state.channels.has(this.#wanted?.channelId)) {
      this.#options.onWanted(this.#wanted.channelId)
      return
    }
    const { channelId } = state.view
    const channel = state.channels.get(channelId)
    if (channel) {
      this.#note(state, channel)
      return
    }
    if (channelId !== null) this.#closed()
    if (this.gone === null || !state.channels.size) this.#openWhenKnown(state)
  }

  /** The conversation that is opened if nothing else is asked for, or null. */
  first(state) {
    return this.#options.order(state)[0] ?? null
  }

  /** What is told of it when it is gone. */
  #note(state, channel) {
    this.#opened = { channel, guild: state.guilds.get(channel.guildId) ?? null }
  }

  #closed() {
    const { channel, guild } = this.#opened
    const { state } = this.#session.store
    this.#session.store.dispatch({ type: 'channel-closed' })
    if (guild && guild.id === this.#left) return
    this.gone = { channel, guild: guild && !state.guilds.has(guild.id) ? guild : null }
  }

  /** READY names the guilds, and each comes by itself: which conversation is opened doesn't depend on which comes first. */
  #openWhenKnown(state) {
    for (const { guildId, channelId, messageId = null } of [addressed(), readValue(placeName(state), {})]) {
      if (state.channels.has(channelId)) {
        this.#arriveAt(state, channelId, messageId)
        return
      }
      if (state.awaited.has(guildId)) return
    }
    if (state.awaited.size === 0) this.#openFirst(state)
  }

  #openFirst(state) {
    const channelId = this.first(state)
    if (channelId !== null) this.#arriveAt(state, channelId)
  }

  #arriveAt(state, channelId, messageId = null) {
    history.replaceState(null, '', pathOf(state, channelId, messageId))
    this.open(channelId, messageId, { push: false })
    this.#options.onArrived()
  }
}

function addressed() {
  const [, , guildId, channelId, messageId] = location.pathname.split('/')
  return { guildId, channelId, messageId: messageId || null }
}

function placeName(state) {
  return `place.${state.me.id}.last`
}
