import { h, iconButton } from './dom.js'

const SHOWN_MS = { info: 6_000 } // others stay until they are dismissed, or not true any more

/** What the user should be told. Each notice stays on the screen, whatever else comes. */
export class Notices {
  #store
  #elements = new Map() // id -> { notice, element }

  constructor(store) {
    this.#store = store
    this.element = h('div.notices', { role: 'region', 'aria-label': 'Notices', 'aria-live': 'polite' })
  }

  update(state) {
    const now = new Map(state.notices.map((notice) => [notice.id, notice]))
    for (const [id, { notice, element }] of this.#elements) {
      if (now.get(id) === notice) continue
      element.remove()
      this.#elements.delete(id)
    }
    for (const [id, notice] of now) {
      if (this.#elements.has(id)) continue
      const element = this.#make(notice)
      this.#elements.set(id, { notice, element })
      this.element.append(element)
      const shown = SHOWN_MS[notice.kind]
      if (shown) setTimeout(() => this.#elements.get(id)?.notice === notice && this.#withdraw(id), shown)
    }
  }

  #make(notice) {
    const { action } = notice
    const button = action && h('button.link', { type: 'button', onclick: action.run }, action.label)
    return h(`div.notice.is-${notice.kind}`, {}, h('div', {}, h('strong', {}, notice.title), notice.text && h('p', {}, notice.text), button),
      iconButton('close', 'Dismiss', () => this.#withdraw(notice.id)))
  }

  #withdraw(id) {
    this.#store.dispatch({ type: 'notice-withdrawn', id })
  }
}
