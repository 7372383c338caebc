import { h } from './dom.js'

/** A person's avatar with a dot for the presence, which can change in place. */
export class PresenceMark {
  #text = h('span.sr-only')
  #dot = h('span.dot', {}, this.#text)
  #status = null

  constructor(avatar, status) {
    this.element = h('span.presence', {}, avatar, this.#dot)
    this.update(status)
  }

  update(status = 'offline') {
    if (status === this.#status) return
    this.#status = status
    this.#dot.className = `dot is-${status}`
    this.#text.textContent = `${status}, `
    this.element.title = status
  }
}
