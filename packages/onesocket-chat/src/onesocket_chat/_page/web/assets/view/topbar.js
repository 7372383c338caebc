// The bar above a conversation: where one is, the connection, and the way to the panels.

import { attentionElsewhere } from '../state/attention.js'
import { plural } from '../text/format.js'
import { ConnectionPill } from './connection.js'
import { fill, h, iconButton, isolated } from './dom.js'
import { channelTitle } from './names.js'

export class Topbar {
  #title = h('h1')
  #guild = h('p.topbar-guild')
  #topic = h('p.topic', { dir: 'auto' })
  #badge = h('span.menu-badge', { hidden: true, 'aria-hidden': 'true' })
  #menu
  #pill
  #shown = {}

  /** `chat`: what its buttons lead to. */
  constructor(session, chat) {
    this.#pill = new ConnectionPill(session)
    this.#menu = iconButton('menu', 'Channels', () => chat.toggleSidebar(), { class: 'icon-button menu only-narrow' })
    this.#menu.append(this.#badge)
    this.element = h('header.topbar', {}, this.#menu,
      h('div.topbar-title', {}, this.#guild, this.#title, this.#topic), this.#pill.element,
      iconButton('search', 'Search', () => chat.showPanel('search')),
      iconButton('people', 'People', () => chat.showPanel('members')))
  }

  update(state) {
    const { channelId } = state.view
    const channel = state.channels.get(channelId)
    const { mentions, isUnread } = attentionElsewhere(state)
    this.#show('title', channel ? channelTitle(state, channelId) : 'onesocket', (title) => fill(this.#title, isolated(title)))
    this.#show('guild', state.guilds.get(channel?.guildId)?.name ?? (channel ? 'Direct messages' : ''), (name) => fill(this.#guild, isolated(name)))
    this.#show('topic', channel?.topic ?? '', (topic) => (this.#topic.textContent = topic))
    this.#show('badge', mentions || isUnread, () => this.#showBadge(mentions, isUnread))
    this.#pill.update(state)
  }

  close() {
    this.#pill.close()
  }

  #show(name, value, draw) {
    if (this.#shown[name] === value) return
    this.#shown[name] = value
    draw(value)
  }

  /** On a phone the list of channels is out of sight: its button tells what is new in it. */
  #showBadge(mentions, isUnread) {
    this.#badge.hidden = !mentions && !isUnread
    this.#badge.textContent = mentions > 99 ? '99+' : mentions || ''
    const label = mentions ? `Channels, ${plural(mentions, 'mention')}` : isUnread ? 'Channels, unread' : 'Channels'
    this.#menu.setAttribute('aria-label', label)
    this.#menu.title = label
  }
}
