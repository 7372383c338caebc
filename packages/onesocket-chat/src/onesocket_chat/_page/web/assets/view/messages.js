// The messages of the channel that is shown.

import { VirtualList } from '../list/virtual_list.js'
import { rowsOf } from '../list/rows.js'
import { historyOf } from '../state/histories.js'
import { isUnread } from '../state/attention.js'
import { plural } from '../text/format.js'
import { plainText } from '../text/markdown.js'
import { decodeMentions } from '../text/mentions.js'
import { copyText, fill, h, icon, iconButton, isolated, shortcutKey } from './dom.js'
import { MessageEditor } from './message_editor.js'
import { messageElement } from './message.js'
import { blockedElement, mayDelete, reportButton } from './moderation.js'
import { channelTitle, nameOf } from './names.js'

export class MessagesView {
  #session
  #chat
  #list
  #scroller
  #below
  #announcer
  #toolbar
  #loading = h('div.loading', { hidden: true })
  #pointed = null // the row under the mouse
  #shown = { channelId: null, history: null, outbox: null, divider: null, users: null, blocked: null }
  #known = new Map()
  #revealed = new Set() // keys of messages of blocked people that are shown nevertheless
  #editing = null // { id, editor }
  #leftEdits = new Map() // message id -> what was written when its edit was left for another message, or channel
  #flash = null

  /** `chat`: what the messages' buttons lead to. */
  constructor(session, chat) {
    this.#session = session
    this.#chat = chat
    this.#scroller = h('div.messages', { role: 'feed', tabindex: '0', 'aria-label': 'Messages' })
    this.#below = h('button.below', { type: 'button', hidden: true, onclick: () => this.toPresent() })
    this.#announcer = h('div.sr-only', { role: 'status', 'aria-live': 'polite' })
    this.element = h('div.messages-area', {}, this.#scroller, this.#loading, this.#below, this.#announcer)
    this.#list = new VirtualList({
      container: this.#scroller,
      render: (row) => this.#renderRow(row),
      estimate: (row) => (row.start ? 140 : 30 + 22 * Math.min(12, Math.ceil(row.message.content.length / 90)) + (row.isGroupStart ? 20 : 0)),
      onEdge: (edge) => this.#loadMore(edge),
      onScroll: () => this.seen(),
    })
    this.#toolbar = h('div.toolbar', { role: 'toolbar', 'aria-label': 'Message' })
    this.#scroller.addEventListener('pointerover', (event) => this.#pointedAt(event.target))
    this.#scroller.addEventListener('pointerleave', () => this.#pointedAt(null))
    this.#scroller.addEventListener('focusin', (event) => this.#showToolbar(event.target))
    this.#scroller.addEventListener('focusout', ({ relatedTarget }) => this.#focusLeaves(relatedTarget))
    this.#scroller.addEventListener('keydown', (event) => this.#key(event))
    session.visibleMessageId = () => (this.#list.isAtBottom ? null : this.#list.topKey)
    session.on('MESSAGE_CREATE', (data, state) => this.#announce(data, state))
  }

  /** Show the state. */
  update(state) {
    const { channelId, messageId } = state.view
    const history = channelId && historyOf(state, channelId)
    const divider = state.divider.get(channelId) ?? null
    const before = this.#shown
    this.#shown = { channelId, history, outbox: state.outbox, divider, users: state.users, blocked: state.blocked }
    if (channelId !== before.channelId) {
      this.#list.reset()
      this.#known.clear()
      this.#stopEditing()
    }
    const isSame = channelId === before.channelId && history === before.history && state.outbox === before.outbox && divider === before.divider
    if (channelId && (!isSame || messageId !== null)) this.#setRows(state, history, divider)
    if (isSame && (state.users !== before.users || state.blocked !== before.blocked)) this.#list.redrawAll()
    this.#showLoading(history)
    const label = `Messages in ${channelTitle(state, channelId)}`
    if (this.#scroller.getAttribute('aria-label') !== label) this.#scroller.setAttribute('aria-label', label)
    if (messageId !== null && history?.messages.some((message) => message.id === messageId)) this.#jumped(messageId)
    else if (channelId !== before.channelId && divider !== null) this.#unreadPending = true
    if (this.#unreadPending && history?.isLoaded && messageId === null) this.#toDivider()
    this.seen()
  }

  #unreadPending = false

  #showLoading(history) {
    const hasFailed = Boolean(history) && !history.isLoaded && !history.loading && history.load !== null
    const kind = history?.loading ?? (hasFailed ? 'failed' : '')
    if (this.#loading.dataset.kind === kind) return
    this.#loading.dataset.kind = kind
    this.#scroller.setAttribute('aria-busy', String(Boolean(history?.loading)))
    this.#loading.hidden = !kind
    fill(this.#loading, hasFailed
      ? ['The messages could not be loaded. ', h('button.link', { type: 'button', onclick: () => this.#session.loadLatest(this.#shown.channelId) }, 'Try again')]
      : kind && 'Loading messages…')
  }

  /** Go to the newest message. */
  async toPresent() {
    const { channelId, history } = this.#shown
    if (history?.hasNewer) {
      this.#list.reset()
      await this.#session.loadLatest(channelId)
      this.#session.store.flush()
    }
    this.#list.scrollToBottom()
    this.seen()
  }

  /** Note what is seen: at the end, in a window with the focus, the channel is read. */
  seen() {
    const { channelId, history } = this.#shown
    const state = this.#session.store.state
    if (!channelId || !history?.isLoaded) {
      this.#below.hidden = true
      return
    }
    const isAtEnd = this.#list.isAtBottom && !history.hasNewer
    if (isAtEnd && !this.#unreadPending && document.visibilityState === 'visible' && document.hasFocus()) this.#session.markRead(channelId)
    const count = isUnread(state, channelId) ? (state.unread.get(channelId) ?? 0) : 0
    const label = count && !isAtEnd ? plural(count, 'new message') : 'To the newest messages'
    if (this.#below.hidden !== isAtEnd) this.#below.hidden = isAtEnd
    if (this.#below.dataset.label !== label) {
      this.#below.dataset.label = label
      fill(this.#below, label, icon('down'))
    }
    this.#below.classList.toggle('is-new', count > 0)
  }

  /** Edit a message in its place; null: one's own last one. */
  edit(message = null) {
    const { messages } = this.#shown.history ?? { messages: [] }
    const me = this.#session.store.state.me?.id
    const chosen = message ?? messages.findLast((one) => one.authorId === me)
    if (!chosen || chosen.authorId !== me) return
    this.#stopEditing()
    const done = () => {
      const isOpen = this.#editing?.editor === editor
      if (isOpen) this.#stopEditing()
      this.#leftEdits.delete(chosen.id)
      if (!isOpen) return // it was left while it was saved: something else is being written
      this.#session.store.dispatch({ type: 'notice-withdrawn', id: 'too-long' })
      this.#chat.focusComposer()
    }
    const text = this.#leftEdits.get(chosen.id)
    const editor = new MessageEditor(chosen, this.#session, { text, done, onEmpty: () => this.#chat.remove(chosen) })
    this.#editing = { id: chosen.id, editor }
    this.#toolbar.remove() // it would cover the field
    this.#list.redraw(chosen.id)
    this.#list.reveal(chosen.id)
    requestAnimationFrame(() => requestAnimationFrame(() => editor.focus()))
  }

  // --- rows -------------------------------------------------------------------------------------------------------

  #setRows(state, history, divider) {
    const { channelId } = state.view
    const drafts = state.outbox.filter((draft) => draft.channelId === channelId)
    const rows = rowsOf(history.messages, history.hasNewer ? [] : drafts, divider, state.me, this.#known, { hasOlder: history.hasOlder })
    this.#known = new Map(rows.map((row) => [row.key, row]))
    if (history.isLoaded && !history.hasOlder) rows.unshift(this.#startRow(channelId))
    this.#list.setRows(rows, { isEnd: !history.hasNewer })
  }

  #starts = new Map()
  #startRow(channelId) {
    if (!this.#starts.has(channelId)) this.#starts.set(channelId, { key: 'start', start: channelId })
    return this.#starts.get(channelId)
  }

  #renderRow(row) {
    const state = this.#session.store.state
    if (row.start) {
      const title = channelTitle(state, row.start)
      return h('article.start', { tabindex: '-1', 'data-key': 'start', 'aria-label': `The beginning of ${title}` },
        h('h2', {}, isolated(title)), h('p', {}, 'This is the beginning.'))
    }
    if (state.blocked.has(row.message.authorId) && !this.#revealed.has(row.key)) {
      return blockedElement(row, () => {
        this.#revealed.add(row.key)
        this.#list.redraw(row.key)
      })
    }
    const isEditing = this.#editing?.id === row.key
    const people = { me: state.me?.id, isBlocked: (id) => state.blocked.has(id), name: (id) => nameOf(state, id) ?? row.message.mentions.find((user) => user.id === id)?.username ?? null }
    const element = messageElement(row, {
      people,
      isEditing,
      editor: isEditing ? this.#editing.editor.element : null,
      actions: {
        react: (message, name) => this.#session.toggleReaction(message, name),
        jump: (id) => this.#chat.jump(this.#shown.channelId, id),
        retry: (nonce) => this.#session.retry(nonce),
        discard: (nonce) => this.#chat.discard(nonce),
      },
    })
    if (this.#flash === row.key) element.classList.add('is-found')
    return element
  }

  #stopEditing() {
    if (!this.#editing) return
    const { id, editor } = this.#editing
    this.#leftEdits.set(id, editor.text)
    this.#editing = null
    this.#list.redraw(id)
  }

  #jumped(messageId) {
    this.#flash = messageId
    this.#list.redraw(messageId)
    this.#list.scrollToKey(messageId)?.focus({ preventScroll: true })
    this.#session.store.dispatch({ type: 'jump-done' })
    setTimeout(() => {
      if (this.#flash === messageId) this.#flash = null
      this.#list.element(messageId)?.classList.remove('is-found')
    }, 2_500)
  }

  #toDivider() {
    const row = this.#list.rows.find((one) => one.isUnreadStart)
    if (!row && this.#shown.history.loading) return // it is further up
    this.#unreadPending = false
    if (row) this.#list.scrollToKey(row.key, 'top')
  }

  #loadMore(edge) {
    const { channelId } = this.#shown
    if (edge === 'top') this.#session.loadOlder(channelId)
    else this.#session.loadNewer(channelId)
  }

  #announce(data, state) {
    if (data.channel_id !== state.view.channelId || data.author.id === state.me?.id || state.blocked.has(data.author.id)) return
    this.#announcer.textContent = `${data.author.username}: ${plainText(data.content, (id) => nameOf(state, id) ?? 'unknown').slice(0, 300)}`
  }

  // --- what can be done with a message -------------------------------------------------------------------------------

  #messageOf(target) {
    const article = target.closest?.('article.message')
    const row = article && this.#known.get(article.dataset.key)
    return row && !row.draft ? { article, message: row.message } : null
  }

  /** Not while a button of the toolbar is removed with the focus; and the focus of one that is pressed comes after this. */
  #focusLeaves(next) {
    if (this.#scroller.contains(next)) return
    queueMicrotask(() => this.#scroller.contains(document.activeElement) || this.#showToolbar(this.#pointed))
  }

  #pointedAt(target) {
    this.#pointed = target?.closest?.('article.message') ?? null
    if (this.#pointed !== null) this.#showToolbar(target)
    else if (target === null && !this.#scroller.contains(document.activeElement)) this.#toolbar.remove()
  }

  /** Show what can be done with the message that holds an element; with none, or one that is edited: nothing. */
  #showToolbar(target) {
    if (target && this.#toolbar.contains(target)) return
    const found = target && this.#messageOf(target)
    if (!found || this.#editing?.id === found.message.id) {
      if (!this.#toolbar.contains(document.activeElement)) this.#toolbar.remove()
      return
    }
    if (this.#toolbar.parentElement === found.article || this.#toolbar.contains(document.activeElement)) return
    fill(this.#toolbar, this.#buttons(found.message))
    found.article.append(this.#toolbar)
    // On a phone it is above its message, unless that is the topmost one.
    const room = found.article.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top
    this.#toolbar.classList.toggle('is-below', room < this.#toolbar.offsetHeight)
  }

  #buttons(message) {
    const state = this.#session.store.state
    const isMine = message.authorId === state.me?.id
    return [
      iconButton('smile', 'Add a reaction', (event) => this.#react(message, event.currentTarget)),
      iconButton('reply', 'Reply', () => this.#chat.reply(message)),
      isMine && iconButton('edit', 'Edit', () => this.edit(message)),
      iconButton('copy', 'Copy the text', () => this.#copy(decodeMentions(message.content, (id) => nameOf(state, id)))),
      iconButton('unread', 'Mark as unread', () => this.#chat.markUnread(message)),
      reportButton(this.#session, message),
      mayDelete(state, message) && iconButton('trash', 'Delete', () => this.#chat.remove(message)),
    ]
  }

  async #copy(text) {
    if (!(await copyText(text))) this.#session.notify({ id: 'copy', kind: 'info', title: 'Not copied', text: 'The browser does not let this page copy.' })
  }

  #react(message, near) {
    this.#chat.pickEmoji(near, (emoji) => this.#session.toggleReaction(message, emoji.text))
  }

  #key(event) {
    if (event.target.closest('textarea, input') || event.ctrlKey || event.metaKey || event.altKey) return
    const article = event.target.closest('article')
    const move = { ArrowUp: -1, ArrowDown: 1 }[event.key]
    if (move) {
      event.preventDefault()
      this.#focusNext(article, move)
      return
    }
    if (event.key === 'End') {
      event.preventDefault()
      this.toPresent()
      return
    }
    const found = this.#messageOf(event.target)
    if (!found || event.target.closest('button, a')) return
    const { message } = found
    const actions = {
      r: () => this.#chat.reply(message),
      e: () => this.edit(message),
      '+': () => this.#react(message, found.article),
      Delete: () => this.#chat.remove(message),
      u: () => this.#chat.markUnread(message),
    }
    const action = actions[shortcutKey(event)]
    if (!action) return
    event.preventDefault()
    action()
  }

  #focusNext(article, step) {
    const { rows } = this.#list
    const at = article ? rows.findIndex((row) => row.key === article.dataset.key) : step < 0 ? rows.length : -1
    const row = rows[at + step]
    if (!row) {
      if (step > 0) this.#chat.focusComposer()
      return
    }
    const element = this.#list.reveal(row.key)
    element?.focus({ preventScroll: true })
  }
}
