// The state of the connection: a pill for people, a timeline for the curious.

import { clockTime } from '../text/format.js'
import { fill, h } from './dom.js'
import { show } from './dialogs.js'

const TEXTS = { closed: 'Not connected', connecting: 'Connecting…', connected: 'Connected', waiting: 'No connection', ended: 'Signed out' }
const NAMES = { closed: 'Closed', connecting: 'Connecting', connected: 'Connected', waiting: 'Lost, waiting', ended: 'Ended' }

export class ConnectionPill {
  #session
  #text = h('span')
  #retry
  #shown = null
  #timer = null

  constructor(session) {
    this.#session = session
    const pill = h('button.pill', { type: 'button', title: 'Show the timeline', onclick: () => showTimeline(session.store) }, h('span.pill-dot', { 'aria-hidden': 'true' }), this.#text)
    this.#retry = h('button.pill-retry', { type: 'button', hidden: true, onclick: () => session.reconnect() }, 'Try now')
    this.element = h('div.connection', { role: 'status' }, pill, this.#retry)
  }

  update(state) {
    if (state.connection === this.#shown) return
    this.#shown = state.connection
    this.element.dataset.state = state.connection.state
    this.#retry.hidden = state.connection.state !== 'waiting'
    clearInterval(this.#timer)
    this.#say()
    if (state.connection.state === 'waiting') this.#timer = setInterval(() => this.#say(), 1_000)
  }

  close() {
    clearInterval(this.#timer)
  }

  #say() {
    const { state, retryAt } = this.#shown
    const seconds = Math.ceil((retryAt - Date.now()) / 1_000)
    const text = state === 'waiting' && seconds > 1 ? `No connection, next try in ${seconds} s` : TEXTS[state]
    if (this.#text.textContent !== text) this.#text.textContent = text
  }
}

/** Every change of the connection's state, with its cause. */
export function showTimeline(store) {
  let stop = () => {}
  const list = h('ol.timeline', { tabindex: '0', 'aria-label': 'Changes of the connection' })
  const draw = () => fill(list, store.state.timeline.toReversed().map((entry) =>
    h('li', {}, h('time', {}, clockTime(entry.at)), h(`span.timeline-state.is-${entry.state}`, {}, NAMES[entry.state]), h('span', {}, entry.text ?? ''))))
  draw()
  stop = store.subscribe(draw)
  return show('The connection', () => [h('p.hint', {}, 'One WebSocket for everything on this page. The newest change is first.'), list], { wide: true }).then(() => stop())
}
