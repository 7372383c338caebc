// Servers with their channels, and conversations.

import { DM } from '../state/directory.js'
import { isUnread } from '../state/attention.js'
import { compareIds } from '../state/ids.js'
import { PERMISSIONS, may } from '../state/moderation.js'
import { ChannelLink } from './channel_link.js'
import { arrange, avatar, fill, h, iconButton, isolated } from './dom.js'
import { nameOf, pathOf } from './names.js'

const CONVERSATIONS = 'conversations'

export class Sidebar {
  #chat
  #more
  #list = h('div.channel-list')
  #own = h('div.own')
  #sections = new Map() // a guild's id, or CONVERSATIONS -> Section
  #links = new Map() // channel id -> ChannelLink
  #shown = []
  #me = null

  /** `chat`: what its buttons lead to. */
  constructor(chat) {
    this.#chat = chat
    this.#more = h('div.sidebar-more', {},
      h('button.link', { type: 'button', onclick: () => chat.newGuild() }, 'New server'),
      h('button.link', { type: 'button', onclick: () => chat.join() }, 'Use an invite'))
    this.element = h('nav.sidebar', { 'aria-label': 'Channels', tabindex: '-1' }, this.#list, this.#own)
    this.#list.addEventListener('keydown', (event) => this.#key(event))
    this.#list.addEventListener('click', (event) => this.#click(event))
  }

  update(state) {
    const { guilds, channels, users, presences, readStates, mentions, view, me } = state
    const roles = [...guilds.keys()].map((id) => state.members.get(id)?.get(me?.id)?.roles)
    const now = [guilds, channels, users, presences, readStates, mentions, view.channelId, me, ...roles]
    if (now.every((value, at) => value === this.#shown[at])) return
    this.#shown = now
    const focused = document.activeElement
    this.#drawList(state)
    if (focused !== document.activeElement && this.#list.contains(focused)) focused.focus() // it was moved
    if (me !== this.#me) {
      this.#me = me
      fill(this.#own, avatar(me.id, me.username), h('span.own-name', {}, isolated(me.username)), iconButton('gear', 'Settings', () => this.#chat.settings()))
    }
  }

  /** The ids of the channels, from top to bottom. */
  order(state) {
    return [...guildsOf(state).flatMap((guild) => channelsOf(state, guild.id)), ...conversationsOf(state)].map((channel) => channel.id)
  }

  focus() {
    ;(this.#list.querySelector('[aria-current]') ?? this.#list.querySelector('a, button'))?.focus()
  }

  #drawList(state) {
    const links = new Map()
    const sections = new Map()
    const draw = (key, title, channels, buttons) => {
      const section = this.#sections.get(key) ?? new Section()
      section.update(title, buttons)
      arrange(section.list, channels.map((channel) => this.#link(state, channel, links).element))
      sections.set(key, section)
    }
    for (const guild of guildsOf(state)) draw(guild.id, guild.name, channelsOf(state, guild.id), this.#guildButtons(state, guild))
    draw(CONVERSATIONS, 'Direct messages', conversationsOf(state), {
      key: CONVERSATIONS,
      make: () => [iconButton('plus', 'New conversation', () => this.#chat.goTo())],
    })
    this.#sections = sections
    this.#links = links
    arrange(this.#list, [...[...sections.values()].map((section) => section.element), this.#more])
  }

  #guildButtons(state, guild) {
    const isOwner = guild.ownerId === state.me?.id
    const mayMake = may(state, guild.id, PERMISSIONS.channels)
    const mayBan = may(state, guild.id, PERMISSIONS.ban)
    return {
      key: `${guild.name} ${isOwner} ${mayMake} ${mayBan}`,
      make: () => [
        iconButton('invite', `Invite people to ${guild.name}`, () => this.#chat.invite(guild)),
        mayMake && iconButton('plus', `New channel in ${guild.name}`, () => this.#chat.newChannel(guild)),
        mayBan && iconButton('ban', `Banned people of ${guild.name}`, () => this.#chat.bans(guild)),
        !isOwner && iconButton('leave', `Leave ${guild.name}`, () => this.#chat.leave(guild)),
      ],
    }
  }

  #link(state, channel, links) {
    const [person] = channel.recipients
    const about = {
      path: pathOf(state, channel.id),
      name: channel.type === DM ? (nameOf(state, person) ?? 'someone') : channel.name,
      status: state.presences.get(person),
      isCurrent: state.view.channelId === channel.id,
      isUnread: isUnread(state, channel.id),
      mentions: state.mentions.get(channel.id) ?? 0,
    }
    const known = this.#links.get(channel.id)
    known?.update(about)
    const link = known ?? new ChannelLink(channel, about)
    links.set(channel.id, link)
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

/** A heading with its buttons, and the list below it. */
class Section {
  #head = h('div.section-head')
  #shown = null
  list = h('ul')

  constructor() {
    this.element = h('section', {}, this.#head, this.list)
  }

  /** `buttons`: `{ key, make() }`; they are made anew where the key is another one. */
  update(title, { key, make }) {
    const shown = `${title} ${key}`
    if (shown === this.#shown) return
    this.#shown = shown
    fill(this.#head, h('h2', {}, isolated(title)), make())
  }
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
