// Servers with their channels, and conversations.

import { DM } from '../state/directory.js'
import { isUnread } from '../state/attention.js'
import { compareIds } from '../state/ids.js'
import { plural } from '../text/format.js'
import { avatar, fill, h, iconButton, isolated } from './dom.js'
import { channelTitle, nameOf, pathOf } from './names.js'

export class Sidebar {
  #chat
  #list = h('div.channel-list')
  #own = h('div.own')
  #shown = []

  /** `chat`: what its buttons lead to. */
  constructor(chat) {
    this.#chat = chat
    this.element = h('nav.sidebar', { 'aria-label': 'Channels', tabindex: '-1' }, this.#list, this.#own)
    this.#list.addEventListener('keydown', (event) => this.#key(event))
    this.#list.addEventListener('click', (event) => this.#click(event))
  }

  update(state) {
    const { guilds, channels, users, presences, readStates, mentions, view, me } = state
    const now = [guilds, channels, users, presences, readStates, mentions, view.channelId, me]
    if (now.every((value, at) => value === this.#shown[at])) return
    this.#shown = now
    const focused = document.activeElement?.closest?.('.channel-list [data-id]')?.dataset.id
    fill(this.#list, this.#sections(state))
    if (focused) this.#list.querySelector(`[data-id="${focused}"]`)?.focus()
    if (me) fill(this.#own, avatar(me.id, me.username), h('span.own-name', {}, isolated(me.username)), iconButton('gear', 'Settings', () => this.#chat.settings()))
  }

  /** The ids of the channels, from top to bottom. */
  order(state) {
    return [...guildsOf(state).flatMap((guild) => channelsOf(state, guild.id)), ...conversationsOf(state)].map((channel) => channel.id)
  }

  focus() {
    ;(this.#list.querySelector('[aria-current]') ?? this.#list.querySelector('a, button'))?.focus()
  }

  #sections(state) {
    const sections = guildsOf(state).map((guild) => {
      const isOwner = guild.ownerId === state.me?.id
      const buttons = [
        iconButton('people', `Invite people to ${guild.name}`, () => this.#chat.invite(guild)),
        isOwner && iconButton('plus', `New channel in ${guild.name}`, () => this.#chat.newChannel(guild)),
        !isOwner && iconButton('close', `Leave ${guild.name}`, () => this.#chat.leave(guild)),
      ]
      return this.#section(state, guild.name, channelsOf(state, guild.id), buttons)
    })
    const conversations = this.#section(state, 'Direct messages', conversationsOf(state), [iconButton('plus', 'New conversation', () => this.#chat.goTo())])
    const more = h('div.sidebar-more', {},
      h('button.link', { type: 'button', onclick: () => this.#chat.newGuild() }, 'New server'),
      h('button.link', { type: 'button', onclick: () => this.#chat.join() }, 'Use an invite'))
    return [sections, conversations, more]
  }

  #section(state, title, channels, buttons) {
    const items = channels.map((channel) => h('li', {}, this.#link(state, channel)))
    return h('section', {}, h('div.section-head', {}, h('h2', {}, isolated(title)), buttons), h('ul', {}, items))
  }

  #link(state, channel) {
    const isCurrent = state.view.channelId === channel.id
    const hasNew = isUnread(state, channel.id) && !isCurrent
    const mentions = state.mentions.get(channel.id) ?? 0
    const link = h('a.channel', { href: pathOf(state, channel.id), 'data-id': channel.id, 'aria-current': isCurrent ? 'page' : null })
    if (channel.type === DM) {
      const [id] = channel.recipients
      const name = nameOf(state, id) ?? 'someone'
      link.append(withPresence(avatar(id ?? '0', name), state.presences.get(id)), h('span.channel-name', {}, isolated(name)))
    } else link.append(h('span.hash', { 'aria-hidden': 'true' }, '#'), h('span.channel-name', {}, isolated(channel.name)))
    link.classList.toggle('is-unread', hasNew)
    if (mentions && !isCurrent) link.append(h('span.count-badge', {}, String(mentions), h('span.sr-only', {}, ` ${plural(mentions, 'mention').split(' ')[1]}`)))
    else if (hasNew) link.append(h('span.sr-only', {}, ' unread'))
    return link
  }

  #click(event) {
    const link = event.target.closest('a.channel')
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return // another tab
    event.preventDefault()
    this.#chat.open(link.dataset.id)
    this.#chat.focusComposer()
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (!step || event.altKey) return
    const links = [...this.#list.querySelectorAll('a.channel')]
    const at = links.indexOf(document.activeElement)
    if (at < 0) return
    event.preventDefault()
    links[at + step]?.focus()
  }
}

/** An avatar with the person's presence. */
export function withPresence(element, status = 'offline') {
  return h('span.presence', { title: status }, element, h(`span.dot.is-${status}`, {}, h('span.sr-only', {}, `${status}, `)))
}

function guildsOf(state) {
  return [...state.guilds.values()].sort((a, b) => compareIds(a.id, b.id))
}

function channelsOf(state, guildId) {
  const found = [...state.channels.values()].filter((channel) => channel.guildId === guildId && channel.type === 0)
  return found.sort((a, b) => a.position - b.position || compareIds(a.id, b.id))
}

function conversationsOf(state) {
  const found = [...state.channels.values()].filter((channel) => channel.type === DM)
  return found.sort((a, b) => compareIds(b.lastMessageId ?? b.id, a.lastMessageId ?? a.id))
}
