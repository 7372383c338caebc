// What is shown in place of a conversation: that it comes, that there is none, or that it is gone.

import { channelLabel } from './names.js'
import { copyText, fill, h, isolated } from './dom.js'

const SENTENCES = {
  loading: ['', 'Loading…'],
  'no-server': ['You are in no server yet', 'Make one, or enter one with an invite that somebody gave you.'],
  'no-channel': ['No channels yet', 'There is none in the servers that you are in.'],
}

export class EmptyView {
  #chat
  #shown = []
  #title = h('h2', { tabindex: '-1' })
  #text = h('p')
  #rest = h('div.empty-rest')

  /** `chat`: what its buttons lead to. */
  constructor(chat) {
    this.#chat = chat
    this.element = h('section.empty', { 'aria-label': 'No conversation' }, h('div', { role: 'status' }, this.#title, this.#text), this.#rest)
  }

  /**
   * Show the state, unless a conversation is open. `gone`: what was open (see `Navigation`). `unsent()`: what was written
   * there.
   */
  update(state, { gone, first, unsent }) {
    const kind = kindOf(state, gone)
    const now = [kind, gone, first]
    this.element.hidden = kind === null
    if (now.every((value, at) => value === this.#shown[at])) return
    this.#shown = now
    if (kind === null) return
    const hadFocus = this.#conversationHasFocus()
    if (kind === 'gone') this.#showGone(state, gone, first, unsent())
    else this.#show(...SENTENCES[kind], kind === 'loading' ? [] : this.#ways())
    if (hadFocus && kind !== 'loading') this.#title.focus()
  }

  /** Keys that somebody is typing go nowhere, rather than to another conversation. */
  #conversationHasFocus() {
    return this.element.parentElement?.contains(document.activeElement)
  }

  #showGone(state, { channel, guild }, first, unsent) {
    const title = guild ? [isolated(guild.name), ' is gone'] : [isolated(channelLabel(state, channel)), ' is gone']
    const text = guild
      ? 'You are no longer in this server: you were removed from it, or it was deleted.'
      : 'This channel was deleted, or you may no longer see it.'
    const onward = first !== null && h('button', { type: 'button', onclick: () => this.#goTo(first) }, 'Go to ', isolated(channelLabel(state, state.channels.get(first))))
    this.#show(title, text, [unsent && unsentElement(unsent), first === null ? this.#ways() : h('div.empty-buttons', {}, onward)])
  }

  #goTo(channelId) {
    this.#chat.open(channelId)
    this.#chat.focusComposer()
  }

  #ways() {
    return h('div.empty-buttons', {},
      h('button.primary', { type: 'button', onclick: () => this.#chat.join() }, 'Use an invite'),
      h('button', { type: 'button', onclick: () => this.#chat.newGuild() }, 'New server'))
  }

  #show(title, text, rest) {
    fill(this.#title, title)
    this.#title.hidden = !title.length
    this.#text.textContent = text
    fill(this.#rest, rest)
  }
}

function kindOf(state, gone) {
  if (state.view.channelId !== null) return null
  if (gone !== null) return 'gone'
  if (!state.isReady || state.awaited.size || state.channels.size) return 'loading'
  return state.guilds.size ? 'no-channel' : 'no-server'
}

function unsentElement(text) {
  const field = h('textarea.editor', { id: 'unsent', readonly: true, rows: '3' })
  field.value = text
  const copy = h('button', { type: 'button', onclick: async () => (copy.textContent = (await copyText(text)) ? 'Copied' : 'Not copied') }, 'Copy')
  return h('div.empty-unsent', {}, h('label', { for: field.id }, 'What you wrote there was not sent:'), field, h('div.empty-buttons', {}, copy))
}
