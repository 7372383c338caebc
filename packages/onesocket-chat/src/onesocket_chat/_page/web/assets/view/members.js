// The people of a channel: those who are there first. Of large servers only what is seen is drawn.

import { VirtualList } from '../list/virtual_list.js'
import { avatar, h, isolated } from './dom.js'
import { memberButton } from './moderation.js'
import { peopleOf } from './names.js'
import { PresenceMark } from './presence.js'

const byName = new Intl.Collator(undefined, { sensitivity: 'base' })

export class MembersView {
  #chat
  #session
  #title = h('h2')
  #scroller = h('div.panel-scroll', { role: 'list', tabindex: '0', 'aria-label': 'People' })
  #list
  #shown = []
  #sorted = [] // what the people were sorted by
  #people = []
  #known = new Map()

  constructor(session, chat) {
    this.#session = session
    this.#chat = chat
    this.element = h('div.panel-content', {}, h('div.panel-head', {}, this.#title), this.#scroller)
    this.#list = new VirtualList({ container: this.#scroller, render: (row) => this.#element(row), estimate: (row) => (row.title ? 40 : 44), startsAtBottom: false })
  }

  update(state) {
    const channel = state.channels.get(state.view.channelId)
    const guild = state.guilds.get(channel?.guildId)
    if (guild?.isLarge) this.#session.requestMembers(guild.id)
    const now = [channel?.guildId ?? channel?.id, state.members.get(channel?.guildId), state.users, state.presences]
    if (now.every((value, at) => value === this.#shown[at])) return
    if (now[0] !== this.#shown[0]) this.#list.reset()
    this.#shown = now
    const people = this.#peopleByName(state, now)
    const isThere = (user) => (state.presences.get(user.id) ?? 'offline') !== 'offline' || user.id === state.me?.id
    const there = people.filter(isThere)
    const away = people.filter((user) => !isThere(user))
    const row = (user, status) => this.#row(user, status)
    this.#list.setRows(!channel ? [] : [
      this.#heading('online', `Online — ${there.length}`),
      ...there.map((user) => row(user, state.presences.get(user.id) ?? 'online')),
      ...(away.length ? [this.#heading('offline', `Offline — ${away.length}`)] : []),
      ...away.map((user) => row(user, 'offline')),
    ])
    const count = guild?.memberCount ?? people.length
    const title = channel ? `People — ${count}` : 'People'
    if (this.#title.textContent !== title) this.#title.textContent = title
  }

  /** Thousands of names take long to sort: they are when names or people have changed, not with each presence. */
  #peopleByName(state, [place, members, users]) {
    const sorted = [place, members, users]
    if (!sorted.every((value, at) => value === this.#sorted[at])) {
      this.#sorted = sorted
      this.#people = peopleOf(state, state.view.channelId).sort((a, b) => byName.compare(a.username, b.username))
    }
    return this.#people
  }

  #heading(name, title) {
    const key = `heading ${name}`
    if (this.#known.get(key)?.title !== title) this.#known.set(key, { key, title })
    return this.#known.get(key)
  }

  #row(user, status) {
    const known = this.#known.get(user.id)
    if (known?.user === user && known.status === status) return known
    const row = { key: user.id, user, status }
    this.#known.set(user.id, row)
    return row
  }

  #element(row) {
    if (row.title) return h('div.member-heading', { role: 'listitem' }, h('h3', {}, row.title))
    const { user, status } = row
    const isMe = user.id === this.#session.store.state.me?.id
    const content = [new PresenceMark(avatar(user.id, user.username), status).element, h('span.member-name', {}, isolated(user.username)), user.isBot && h('span.badge', {}, 'Bot')]
    const inner = isMe || user.isBot ? h('div.member', {}, content) : h('button.member', { type: 'button', title: `Write to ${user.username}`, onclick: () => this.#chat.write(user.id) }, content)
    const guildId = this.#session.store.state.channels.get(this.#session.store.state.view.channelId)?.guildId
    return h('div.member-row', { role: 'listitem' }, inner, memberButton(this.#session, user, guildId))
  }
}
