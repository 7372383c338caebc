import { findEmoji } from '../text/emoji.js'
import { completionAt } from '../text/mentions.js'
import { fill, h, isolated } from './dom.js'
import { peopleOf } from './names.js'

const LIMIT = 8

/** The list that completes "@name" and ":emoji:" above a text field. */
export class Completion {
  #field
  #session
  #onInsert
  #choices = []
  #chosen = 0
  #start = 0

  constructor(field, session, onInsert) {
    this.#field = field
    this.#session = session
    this.#onInsert = onInsert
    this.element = h('div.completion', { role: 'listbox', id: 'completion', 'aria-label': 'Suggestions', hidden: true })
    field.setAttribute('aria-controls', 'completion')
    field.addEventListener('blur', () => this.close()) // a choice that is pressed leaves the focus in the field
  }

  /** Look at the text before the cursor. */
  update() {
    const found = completionAt(this.#field.value.slice(0, this.#field.selectionStart))
    this.#choices = found ? this.#find(found) : []
    // A name that is written out needs no completion: Enter sends.
    if (this.#choices.length === 1 && this.#choices[0].text.trim() === `${found.kind}${found.query}`) this.#choices = []
    this.#start = found?.start ?? 0
    this.#chosen = 0
    this.#show()
  }

  close() {
    this.#choices = []
    this.#show()
  }

  /** Handle a key while the list is open; returns true if it was for the list. */
  key(event) {
    if (!this.#choices.length) return false
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step) {
      this.#chosen = (this.#chosen + step + this.#choices.length) % this.#choices.length
      this.#show()
    } else if ((event.key === 'Enter' && !event.shiftKey) || event.key === 'Tab') this.#insert(this.#choices[this.#chosen])
    else if (event.key === 'Escape') this.close()
    else return false
    event.preventDefault()
    event.stopPropagation()
    return true
  }

  #find({ kind, query }) {
    if (kind === ':') return findEmoji(query, LIMIT).map(({ name, text }) => ({ text: `${text} `, label: [h('span.emoji', {}, text), ` :${name}:`] }))
    const { state } = this.#session.store
    const wanted = query.toLowerCase()
    const people = peopleOf(state, state.view.channelId).filter((user) => user.username.toLowerCase().includes(wanted))
    people.sort((a, b) => Number(b.username.toLowerCase().startsWith(wanted)) - Number(a.username.toLowerCase().startsWith(wanted)) || a.username.localeCompare(b.username))
    const names = people.slice(0, LIMIT).map((user) => ({ text: `@${user.username} `, label: [isolated(user.username), user.isBot && h('span.badge', {}, 'Bot')] }))
    if (wanted && 'everyone'.startsWith(wanted)) names.push({ text: '@everyone ', label: ['everyone'] })
    return names
  }

  #insert(choice) {
    this.#field.setRangeText(choice.text, this.#start, this.#field.selectionStart, 'end')
    this.close()
    this.#onInsert()
  }

  #show() {
    this.element.hidden = !this.#choices.length
    this.#field.toggleAttribute('aria-activedescendant', false)
    fill(this.element, this.#choices.map((choice, index) => h('div.choice', {
      role: 'option', id: `choice-${index}`, 'aria-selected': String(index === this.#chosen),
      onpointerdown: (event) => {
        event.preventDefault()
        this.#insert(choice)
      },
    }, choice.label)))
    if (this.#choices.length) this.#field.setAttribute('aria-activedescendant', `choice-${this.#chosen}`)
  }
}
