import { decodeMentions, encodeMentions } from '../text/mentions.js'
import { h } from './dom.js'
import { mayBeSent } from './limits.js'
import { nameOf, peopleOf } from './names.js'

/** Edits a message in its place: Enter saves, Escape leaves it. Without a text and files it asks whether to delete it. */
export class MessageEditor {
  #field
  #message
  #session
  #done
  #onEmpty

  /** `text`: of an edit that goes on; null: of the message. `done()`: the edit has ended; `onEmpty()`: and nothing is left. */
  constructor(message, session, { text = null, done, onEmpty }) {
    this.#message = message
    this.#session = session
    this.#done = done
    this.#onEmpty = onEmpty
    this.#field = h('textarea.editor', { 'aria-label': 'Edit the message', rows: '1', onkeydown: (event) => this.#key(event), oninput: () => this.#fit() })
    this.#field.value = text ?? decodeMentions(message.content, (id) => nameOf(session.store.state, id))
    this.element = h('div.editing', {}, this.#field, h('p.hint', {},
      'Enter ', h('button.link', { type: 'button', onclick: () => this.#save() }, 'saves'), ', Escape ',
      h('button.link', { type: 'button', onclick: done }, 'leaves it as it was')))
  }

  /** What is written. */
  get text() {
    return this.#field.value
  }

  focus() {
    this.#fit()
    this.#field.focus()
    this.#field.setSelectionRange(this.#field.value.length, this.#field.value.length)
  }

  #fit() {
    this.#field.style.height = 'auto'
    this.#field.style.height = `${Math.min(this.#field.scrollHeight + 2, 320)}px`
  }

  #key(event) {
    if (event.isComposing) return
    if (event.key === 'Escape') {
      event.preventDefault()
      event.stopPropagation()
      this.#done()
    } else if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault()
      this.#save()
    }
  }

  async #save() {
    const { state } = this.#session.store
    const content = encodeMentions(this.#field.value.trim(), peopleOf(state, this.#message.channelId))
    if (content === this.#message.content) return this.#done()
    if (!content && !this.#message.attachments.length) {
      this.#done()
      return this.#onEmpty()
    }
    if (!mayBeSent(this.#session, content)) return undefined
    this.#field.disabled = true
    const isSaved = await this.#session.edit(this.#message, content)
    this.#field.disabled = false
    if (isSaved) this.#done()
    else this.#field.focus()
    return undefined
  }
}
