import { DM } from '../state/directory.js'
import { plural } from '../text/format.js'
import { avatar, fill, h, isolated } from './dom.js'
import { PresenceMark } from './presence.js'

/** The link of a channel, or of a conversation, in the list. Of what it shows only that is drawn which has changed. */
export class ChannelLink {
  #link
  #presence = null
  #person // whose conversation it is
  #name = h('span.channel-name')
  #mark = null // the number of mentions, or that something is new
  #shown = {}

  /** `about`: as for `update`. */
  constructor(channel, about) {
    this.#link = h('a.channel', { href: about.path, 'data-id': channel.id })
    this.#person = channel.recipients[0] ?? '0'
    if (channel.type === DM) {
      this.#presence = new PresenceMark(avatar(this.#person, about.name), about.status)
      this.#link.append(this.#presence.element)
    } else this.#link.append(h('span.hash', { 'aria-hidden': 'true' }, '#'))
    this.#link.append(this.#name)
    this.element = h('li', {}, this.#link)
    this.update(about)
  }

  /** `about`: `{ path, name, status, isCurrent, isUnread, mentions }`. */
  update({ name, status, isCurrent, isUnread, mentions }) {
    const hasNew = isUnread && !isCurrent
    this.#presence?.update(status)
    this.#show('name', name, () => {
      fill(this.#name, isolated(name))
      this.#link.querySelector('.avatar')?.replaceWith(avatar(this.#person, name))
    })
    this.#show('current', isCurrent, () => (isCurrent ? this.#link.setAttribute('aria-current', 'page') : this.#link.removeAttribute('aria-current')))
    this.#show('unread', hasNew, () => this.#link.classList.toggle('is-unread', hasNew))
    this.#show('mark', isCurrent ? '' : mentions || (hasNew ? 'unread' : ''), (mark) => this.#drawMark(mark))
  }

  #show(part, value, draw) {
    if (this.#shown[part] === value) return
    this.#shown[part] = value
    draw(value)
  }

  #drawMark(mark) {
    this.#mark?.remove()
    this.#mark = null
    if (!mark) return
    this.#mark = mark === 'unread'
      ? h('span.sr-only', {}, ' unread')
      : h('span.count-badge', {}, String(mark), h('span.sr-only', {}, ` ${plural(mark, 'mention').split(' ')[1]}`))
    this.#link.append(this.#mark)
  }
}
