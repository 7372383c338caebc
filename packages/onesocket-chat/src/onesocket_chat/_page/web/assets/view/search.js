// Searches the messages of a server, or of a conversation.

import { messageOf } from '../state/histories.js'
import { messageTime, plural } from '../text/format.js'
import { plainText } from '../text/markdown.js'
import { fill, h, iconButton, isolated } from './dom.js'
import { channelTitle, nameOf } from './names.js'

const PAGE = 25

export class SearchView {
  #session
  #chat
  #field
  #summary = h('p.hint', { role: 'status' })
  #results = h('ol.results')
  #asked = 0

  constructor(session, chat) {
    this.#session = session
    this.#chat = chat
    this.#field = h('input', { type: 'search', 'aria-label': 'Search messages', placeholder: 'Search messages', maxlength: '256' })
    const form = h('form.search-form', { role: 'search', onsubmit: (event) => this.#submit(event) }, this.#field, iconButton('search', 'Search', null, { type: 'submit' }))
    this.element = h('div.panel-content', {}, form, this.#summary, h('div.panel-scroll', { tabindex: '-1' }, this.#results))
  }

  update() {}

  focus() {
    this.#field.focus()
    this.#field.select()
  }

  #submit(event) {
    event.preventDefault()
    const text = this.#field.value.trim()
    fill(this.#results)
    if (text) this.#find(text, 0)
  }

  async #find(text, offset) {
    const asked = (this.#asked += 1)
    const { state } = this.#session.store
    const channel = state.channels.get(state.view.channelId)
    if (!channel) return
    this.#summary.textContent = 'Searching…'
    const answer = await this.#session.search(channel, text, offset)
    if (asked !== this.#asked) return // another search has begun
    if (!answer) {
      this.#summary.textContent = ''
      return
    }
    const { total_results: total, messages } = answer
    this.#summary.textContent = total ? `${plural(total, 'message')} found` : 'Nothing was found.'
    this.#results.querySelector('.more')?.remove()
    for (const [found] of messages) this.#results.append(this.#result(messageOf(found), text))
    if (offset + PAGE < total) {
      this.#results.append(h('li.more', {}, h('button', { type: 'button', onclick: () => this.#find(text, offset + PAGE) }, 'More')))
    }
  }

  #result(message, text) {
    const { state } = this.#session.store
    const plain = plainText(message.content, (id) => nameOf(state, id) ?? 'unknown')
    const head = [h('b', {}, isolated(message.authorName)), ` in ${channelTitle(state, message.channelId)} · `, h('time', {}, messageTime(message.timestamp, Date.now()))]
    return h('li', {}, h('button.result', { type: 'button', onclick: () => this.#chat.jump(message.channelId, message.id) },
      h('span.result-head', {}, head), h('bdi.result-text', {}, marked(excerpt(plain, text), text))))
  }
}

function excerpt(plain, text) {
  const at = plain.toLowerCase().indexOf(text.toLowerCase())
  const start = Math.max(0, at - 60)
  return `${start ? '…' : ''}${plain.slice(start, start + 220)}`
}

function marked(plain, text) {
  const parts = []
  const lower = plain.toLowerCase()
  const wanted = text.toLowerCase()
  let at = 0
  for (let found = lower.indexOf(wanted); found >= 0 && lower.length === plain.length; found = lower.indexOf(wanted, at)) {
    parts.push(plain.slice(at, found), h('mark', {}, plain.slice(found, found + wanted.length)))
    at = found + wanted.length
  }
  return [...parts, plain.slice(at)]
}
