// Where a message is written: draft per channel, reply, files, completion.

import { readDraft, readReply, writeDraft, writeReply } from '../net/storage.js'
import { fileSize, typingText } from '../text/format.js'
import { encodeMentions } from '../text/mentions.js'
import { plainText } from '../text/markdown.js'
import { Completion } from './completion.js'
import { fill, h, iconButton, isolated } from './dom.js'
import { MAX_LENGTH, mayBeSent } from './limits.js'
import { channelTitle, nameOf, peopleOf } from './names.js'

const MAX_FILES = 10
const MAX_FILE_SIZE = 8_000_000
const MAX_FILES_SIZE = 24_000_000 // of all together

export class Composer {
  #session
  #chat
  #field
  #context = h('div.composing', { hidden: true })
  #files = h('div.chosen-files', { hidden: true })
  #count = h('span.count', { 'aria-live': 'polite' })
  #typing = h('div.typing', { 'aria-live': 'polite' })
  #chooser
  #completion
  #channelId = null
  #drafts // channel id -> { text, replyTo, files }
  #saveTimer = null
  #typingShown = null

  /** `drafts`: those of the composer that was left. */
  constructor(session, chat, drafts = new Map()) {
    this.#session = session
    this.#chat = chat
    this.#drafts = drafts
    this.#field = h('textarea.composer-field', {
      rows: '1', 'aria-label': 'Message', placeholder: 'Message', enterkeyhint: 'send', 'aria-autocomplete': 'list',
      onkeydown: (event) => this.#key(event), oninput: () => this.#changed(), onpaste: (event) => this.#pasted(event),
    })
    this.#completion = new Completion(this.#field, session, () => this.#changed())
    this.#chooser = h('input', { type: 'file', multiple: true, hidden: true, onchange: () => this.#choose([...this.#chooser.files]) })
    const box = h('div.composer-box', {},
      iconButton('attach', 'Add files', () => this.#chooser.click()), this.#chooser, this.#field, this.#count,
      iconButton('smile', 'Emoji', (event) => chat.pickEmoji(event.currentTarget, (emoji) => this.insert(emoji.text))),
      iconButton('send', 'Send', () => this.#send()))
    this.element = h('form.composer', { hidden: true, onsubmit: (event) => event.preventDefault() }, this.#context, this.#files, this.#completion.element, box, this.#typing)
    this.element.addEventListener('dragover', (event) => event.preventDefault())
  }

  /** Show the state: another channel, who is typing. */
  update(state) {
    const { channelId } = state.view
    if (channelId !== this.#channelId) this.#switchTo(channelId, state)
    const typing = state.typing.get(channelId)
    if (typing !== this.#typingShown) {
      this.#typingShown = typing
      this.#typing.textContent = typingText([...(typing?.keys() ?? [])].filter((id) => !state.blocked.has(id)).map((id) => nameOf(state, id) ?? 'someone'))
    }
  }

  focus() {
    this.#field.focus()
  }

  /** What is being written in a channel. */
  textOf(channelId) {
    return (this.#drafts.get(channelId)?.text ?? readDraft(this.#nameOf(channelId))).trim()
  }

  /** Keep what is being written now, not in a moment. */
  keep() {
    this.#save()
  }

  /** Leave the page: what is being written is kept. */
  close() {
    this.#save()
    this.#channelId = null
  }

  /** What is being written, by channel. */
  get drafts() {
    return this.#drafts
  }

  /** True if files are chosen, which no browser keeps for a reload. Those for a channel that is gone can't be sent. */
  get hasFiles() {
    const { channels } = this.#session.store.state
    return [...this.#drafts].some(([channelId, { files }]) => files.length && channels.has(channelId))
  }

  /** Reply to a message. */
  reply(message) {
    this.#draft.replyTo = { id: message.id, authorId: message.authorId, authorName: message.authorName, content: message.content }
    this.#showContext()
    this.#save()
    this.focus()
  }

  /** Put a text where the cursor is. */
  insert(text) {
    this.focus()
    this.#field.setRangeText(text, this.#field.selectionStart, this.#field.selectionEnd, 'end')
    this.#changed()
  }

  /** Bring back a draft that was discarded, unless something else is being written. */
  restore(draft) {
    if (draft.channelId !== this.#channelId || this.#field.value.trim()) return
    this.#field.value = draft.content
    this.#draft.replyTo = draft.replyTo
    this.#showContext()
    this.#changed()
  }

  /** Add files, as they are dropped on the page. */
  addFiles(files) {
    if (this.#channelId !== null) this.#choose(files)
  }

  // --- the draft --------------------------------------------------------------------------------------------------

  get #draft() {
    let draft = this.#drafts.get(this.#channelId)
    if (!draft) {
      draft = { text: readDraft(this.#draftName), replyTo: readReply(this.#replyName), files: [] }
      this.#drafts.set(this.#channelId, draft)
    }
    return draft
  }

  get #draftName() {
    return this.#nameOf(this.#channelId)
  }

  get #replyName() {
    return `reply.${this.#session.store.state.me?.id}.${this.#channelId}`
  }

  #nameOf(channelId) {
    return `text.${this.#session.store.state.me?.id}.${channelId}`
  }

  #switchTo(channelId, state) {
    this.#save()
    this.#channelId = channelId
    this.element.hidden = channelId === null
    if (channelId === null) return
    this.#field.value = this.#draft.text
    const title = channelTitle(state, channelId)
    this.#field.placeholder = `Message ${title.length > 40 ? `${title.slice(0, 40)}…` : title}`
    this.#field.setAttribute('aria-label', `Message ${title}`)
    this.#completion.close()
    this.#showContext()
    this.#showFiles()
    this.#fit()
  }

  #save() {
    clearTimeout(this.#saveTimer)
    if (this.#channelId === null) return
    this.#draft.text = this.#field.value
    if (this.#field.value !== readDraft(this.#draftName)) writeDraft(this.#draftName, this.#field.value)
    writeReply(this.#replyName, this.#draft.replyTo)
  }

  #changed() {
    this.#fit()
    this.#completion.update()
    if (this.#field.value.trim()) this.#session.typing(this.#channelId)
    this.#draft.text = this.#field.value
    clearTimeout(this.#saveTimer)
    this.#saveTimer = setTimeout(() => this.#save(), 300)
  }

  #fit() {
    this.#field.style.height = 'auto'
    this.#field.style.height = `${Math.min(this.#field.scrollHeight, 240)}px`
    const length = [...this.#field.value].length
    this.#count.textContent = length > MAX_LENGTH - 200 ? String(MAX_LENGTH - length) : ''
    this.#count.classList.toggle('is-over', length > MAX_LENGTH)
  }

  #showContext() {
    const { replyTo } = this.#draft
    this.#context.hidden = replyTo === null
    if (replyTo === null) return
    const text = plainText(replyTo.content, (id) => nameOf(this.#session.store.state, id) ?? 'unknown').slice(0, 120)
    fill(this.#context, h('span', {}, 'Reply to ', h('b', {}, isolated(replyTo.authorName)), ' ', isolated(text)),
      iconButton('close', 'Don’t reply', () => this.#leaveReply()))
  }

  #leaveReply() {
    this.#draft.replyTo = null
    this.#showContext()
    this.#save()
    this.focus()
  }

  // --- files ------------------------------------------------------------------------------------------------------

  #choose(files) {
    this.#chooser.value = ''
    const { files: chosen } = this.#draft
    for (const file of files) {
      if (file.size > MAX_FILE_SIZE) {
        this.#session.notify({ id: 'file', kind: 'error', title: 'Too large', text: `${file.name} has ${fileSize(file.size)}; at most ${fileSize(MAX_FILE_SIZE)} can be sent.` })
      } else if (chosen.reduce((sum, one) => sum + one.size, file.size) > MAX_FILES_SIZE) {
        this.#session.notify({ id: 'file', kind: 'error', title: 'Too much', text: `The files of one message have at most ${fileSize(MAX_FILES_SIZE)} together.` })
      } else if (chosen.length >= MAX_FILES) {
        this.#session.notify({ id: 'file', kind: 'error', title: 'Too many files', text: `At most ${MAX_FILES} files go with one message.` })
      } else chosen.push(file)
    }
    this.#showFiles()
    this.focus()
  }

  #pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])]
    if (!files.length) return
    event.preventDefault()
    this.#choose(files)
  }

  #showFiles() {
    const { files } = this.#draft
    this.#files.hidden = !files.length
    fill(this.#files, files.map((file) => h('div.file', {}, h('span', {}, isolated(file.name)), h('span.size', {}, fileSize(file.size)),
      iconButton('close', `Don’t send ${file.name}`, () => {
        this.#draft.files = files.filter((one) => one !== file)
        this.#showFiles()
        this.focus()
      }))))
  }

  // --- sending ----------------------------------------------------------------------------------------------------

  #key(event) {
    if (event.isComposing) return
    if (this.#completion.key(event)) return
    if (event.key === 'Enter' && !event.shiftKey && !event.ctrlKey) {
      event.preventDefault()
      this.#send()
    } else if (event.key === 'ArrowUp' && !this.#field.value) {
      event.preventDefault()
      this.#chat.editLast()
    } else if (event.key === 'Escape' && this.#draft.replyTo) {
      event.preventDefault()
      event.stopPropagation()
      this.#leaveReply()
    }
  }

  #send() {
    const content = this.#field.value.trim()
    const { replyTo, files } = this.#draft
    if (!content && !files.length) return
    const { state } = this.#session.store
    const encoded = encodeMentions(content, peopleOf(state, this.#channelId))
    if (!mayBeSent(this.#session, encoded)) return
    this.#session.store.dispatch({ type: 'notice-withdrawn', id: 'file' })
    this.#session.send({ channelId: this.#channelId, content: encoded, replyTo, files })
    this.#drafts.set(this.#channelId, { text: '', replyTo: null, files: [] })
    this.#field.value = ''
    this.#completion.close()
    this.#showContext()
    this.#showFiles()
    this.#fit()
    this.#save()
    this.#chat.sent()
  }
}
