// Searches the messages of a server, or of a conversation.

import { messageOf } from '../state/histories.js'
import { messageTime, plural } from '../text/format.js'
import { plainText } from '../text/markdown.js'
import { fill, h, iconButton, isolated } from './dom.js'
import { BLOCKED_TEXT } from './moderation.js'
import { channelTitle, nameOf } from './names.js'

const PAGE = 25
const PAUSE_MS = 300 // after the last key

export class SearchView {
  #session
  #chat
  #field
  #summary = h('p.hint', { role: 'status' })
  #results = h('ol.results')
  #controller = null // of the search that is under way
  #timer = null
  #searched = ''

  constructor(session, chat) {
    this.#session = session
    this.#chat = chat
    this.#field = h('input', { type: 'search', 'aria-label': 'Search messages', placeholder: 'Search', maxlength: '256', oninput: () => this.#typed() })
    const form = h('form.search-form', { role: 'search', onsubmit: (event) => this.#submit(event) }, this.#field, iconButton('search', 'Search', null, { type: 'submit' }))
    this.element = h('div.panel-content', {}, form, this.#summary, h('div.panel-scroll', { tabindex: '-1' }, this.#results))
  }

  update() {}

  focus() {
    this.#field.focus()
    this.#field.select()
  }

  /** Leave the page. */
  close() {
    this.#cancel()
  }

  /** What is typed is searched for after a pause; Enter doesn't wait. */
  #typed() {
    if (this.#field.value.trim() === this.#searched) return
    this.#cancel()
    if (this.#field.value.trim()) this.#timer = setTimeout(() => this.#begin(), PAUSE_MS)
    else this.#begin()
  }

  #submit(event) {
    event.preventDefault()
    this.#begin()
  }

  #begin() {
    this.#cancel()
    this.#searched = this.#field.value.trim()
    fill(this.#results)
    this.#summary.textContent = ''
    const { state } = this.#session.store
    const channel = state.channels.get(state.view.channelId)
    if (this.#searched && channel) this.#find(channel, this.#searched, 0)
  }

  /** What was asked for before is not wanted any more. */
  #cancel() {
    clearTimeout(this.#timer)
    this.#controller?.abort()
    this.#searched = ''
  }

  /** `channel`: the one that was open when the search began, and so its place, also if another one is open by now. */
  async #find(channel, text, offset) {
    this.#controller?.abort()
    const { signal } = (this.#controller = new AbortController())
    this.#summary.textContent = 'Searching…'
    const answer = await this.#session.search(channel, text, { offset, signal })
    if (signal.aborted) return
    if (!answer) {
      this.#searched = ''
      this.#summary.textContent = ''
      return
    }
    const { total_results: total, messages } = answer
    this.#summary.textContent = total ? `${plural(total, 'message')} found` : 'Nothing was found.'
    this.#results.querySelector('.more')?.remove()
    for (const [found] of messages) this.#results.append(this.#result(messageOf(found), text))
    if (offset + PAGE < total) {
      this.#results.append(h('li.more', {}, h('button', { type: 'button', onclick: () => this.#find(channel, text, offset + PAGE) }, 'More')))
    }
  }

  #result(message, text) {
    const { state } = this.#session.store
    const isBlocked = state.blocked.has(message.authorId)
    const plain = isBlocked ? BLOCKED_TEXT : plainText(message.content, (id) => nameOf(state, id) ?? 'unknown')
    const head = [h('b', {}, isolated(message.authorName)), ` in ${channelTitle(state, message.channelId)} · `, h('time', {}, messageTime(message.timestamp, Date.now()))]
    return h('li', {}, h('button.result', { type: 'button', onclick: () => this.#chat.jump(message.channelId, message.id) },
      h('span.result-head', {}, head), h('bdi.result-text', {}, isBlocked ? plain : marked(excerpt(plain, text), text))))
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
