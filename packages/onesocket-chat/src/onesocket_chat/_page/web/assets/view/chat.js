// The whole page of a signed-in account.

import { Attention } from './attention.js'
import { Composer } from './composer.js'
import { ConnectionPill } from './connection.js'
import { askFor, confirm, show, showKeys } from './dialogs.js'
import { copyText, fill, h, iconButton, isolated } from './dom.js'
import { MembersView } from './members.js'
import { MessagesView } from './messages.js'
import { channelTitle, pathOf } from './names.js'
import { Notices } from './notices.js'
import { pickEmoji } from './picker.js'
import { SearchView } from './search.js'
import { showSettings } from './settings.js'
import { Sidebar } from './sidebar.js'
import { goToDialog } from './switcher.js'

const NARROW = '(max-width: 760px)'

export class ChatView {
  #session
  #root
  #options
  #sidebar
  #messages
  #composer
  #members
  #search
  #pill
  #notices
  #attention
  #title = h('h1')
  #topic = h('p.topic', { dir: 'auto' })
  #panel = h('aside.panel', { 'aria-label': 'People', hidden: true })
  #panelShown = null
  #frame
  #cleanup = []

  /** `onSignOut()`: the user signs out. */
  constructor(root, session, options) {
    this.#session = session
    this.#root = root
    this.#options = options
    this.#sidebar = new Sidebar(this)
    this.#messages = new MessagesView(session, this)
    this.#composer = new Composer(session, this)
    this.#members = new MembersView(session, this)
    this.#search = new SearchView(session, this)
    this.#pill = new ConnectionPill(session)
    this.#notices = new Notices(session.store)
    this.#attention = new Attention(session, (channelId, messageId) => this.open(channelId, messageId))
    const bar = h('header.topbar', {},
      iconButton('menu', 'Channels', () => this.#toggleSidebar(), { class: 'icon-button only-narrow' }),
      h('div.topbar-title', {}, this.#title, this.#topic), this.#pill.element,
      iconButton('search', 'Search', () => this.showPanel('search')),
      iconButton('people', 'People', () => this.showPanel('members')))
    const main = h('main.conversation', {}, bar, this.#messages.element, this.#composer.element)
    this.#frame = h('div.chat', {}, this.#sidebar.element, h('div.scrim', { onclick: () => this.#closeDrawers() }), main, this.#panel)
    fill(root, this.#frame, this.#notices.element)
    const narrow = matchMedia(NARROW)
    if (!narrow.matches) this.showPanel('members', { focus: false })
    this.#listen(narrow, 'change', () => narrow.matches && this.showPanel(null))
    this.#listen(window, 'keydown', (event) => this.#key(event))
    this.#listen(window, 'popstate', () => this.#route())
    this.#listen(window, 'focus', () => this.#messages.seen())
    this.#listen(document, 'visibilitychange', () => this.#messages.seen())
    this.#listen(window, 'dragover', (event) => event.preventDefault())
    this.#listen(window, 'drop', (event) => this.#drop(event))
    this.#cleanup.push(session.store.subscribe((state) => this.#update(state)))
    this.#update(session.store.state)
  }

  /** Leave the page to what comes next. */
  close() {
    for (const undo of this.#cleanup) undo()
    this.#pill.close()
    for (const dialog of document.querySelectorAll('dialog')) dialog.close()
  }

  // --- navigation -------------------------------------------------------------------------------------------------

  /** Show a channel, and one of its messages. */
  open(channelId, messageId = null, { push = true } = {}) {
    const { state } = this.#session.store
    const path = pathOf(state, channelId, messageId)
    if (push && location.pathname !== path) history.pushState(null, '', path)
    this.#closeDrawers()
    return this.#session.open(channelId, messageId)
  }

  /** Show a message, by a link of a reply or of a search. */
  jump(channelId, messageId) {
    if (matchMedia(NARROW).matches) this.showPanel(null)
    return this.open(channelId, messageId)
  }

  #route() {
    const { state } = this.#session.store
    const [, , , channelId, messageId] = location.pathname.split('/')
    if (channelId && state.channels.has(channelId)) {
      this.open(channelId, messageId ?? null, { push: false })
      if (document.activeElement === document.body) this.focusComposer()
    } else if (state.isReady) this.#openFirst(state)
  }

  #openFirst(state) {
    const [first] = this.#sidebar.order(state)
    if (!first) return
    history.replaceState(null, '', pathOf(state, first))
    this.open(first, null, { push: false })
    this.focusComposer()
  }

  #update(state) {
    this.#sidebar.update(state)
    this.#frame.classList.toggle('is-empty', state.isReady && state.view.channelId === null)
    const { channelId } = state.view
    if (state.isReady && (channelId === null || !state.channels.has(channelId)) && state.channels.size) {
      if (channelId !== null) this.#session.store.dispatch({ type: 'channel-closed' }) // it was deleted
      this.#routeWhenKnown(state)
    }
    const channel = state.channels.get(channelId)
    const title = channel ? channelTitle(state, channelId) : 'onesocket'
    if (this.#title.textContent !== title) fill(this.#title, isolated(title))
    this.#topic.textContent = channel?.topic ?? ''
    this.#messages.update(state)
    this.#composer.update(state)
    if (this.#panelShown === 'members') this.#members.update(state)
    this.#pill.update(state)
    this.#notices.update(state)
    this.#attention.update(state)
  }

  /** Guilds come one after another behind READY: the channel of the address may be in one of the next. */
  #routeWhenKnown(state) {
    const [, , guildId, channelId] = location.pathname.split('/')
    const isExpected = channelId && !state.channels.has(channelId) && guildId !== '@me' && !state.members.has(guildId)
    if (isExpected && [...this.#session.store.state.guilds.keys()].length === 0) return
    this.#route()
  }

  // --- panels and drawers ----------------------------------------------------------------------------------------

  /** Show `members`, `search` or nothing (null) at the side; again: hide it. */
  showPanel(name, { focus = true } = {}) {
    const next = name === this.#panelShown && name !== 'search' ? null : name
    this.#panelShown = next
    this.#panel.hidden = next === null
    this.#frame.classList.toggle('has-panel', next !== null)
    if (next === null) return
    const view = next === 'members' ? this.#members : this.#search
    this.#panel.setAttribute('aria-label', next === 'members' ? 'People' : 'Search')
    fill(this.#panel, iconButton('close', 'Close', () => this.showPanel(null), { class: 'icon-button panel-close' }), view.element)
    view.update(this.#session.store.state)
    if (focus) view.focus?.()
  }

  #toggleSidebar() {
    const isOpen = this.#frame.classList.toggle('has-sidebar')
    if (isOpen) this.#sidebar.focus()
  }

  #closeDrawers() {
    this.#frame.classList.remove('has-sidebar')
  }

  // --- messages ---------------------------------------------------------------------------------------------------

  focusComposer() {
    if (!matchMedia('(pointer: coarse)').matches) this.#composer.focus()
  }

  reply(message) {
    this.#composer.reply(message)
  }

  editLast() {
    this.#messages.edit()
  }

  /** A message was accepted: what is shown is the end. */
  sent() {
    this.#session.store.flush()
    this.#messages.toPresent()
    const { channelId } = this.#session.store.state.view
    this.#session.store.dispatch({ type: 'divider-removed', channelId })
  }

  discard(nonce) {
    const draft = this.#session.discard(nonce)
    if (draft) this.#composer.restore(draft)
  }

  async remove(message) {
    if (await confirm('Delete this message?', 'It can’t be brought back.', 'Delete')) await this.#session.remove(message)
  }

  markUnread(message) {
    const { messages } = this.#session.store.state.histories.get(message.channelId)
    const before = messages[messages.findIndex((one) => one.id === message.id) - 1]?.id ?? '0'
    this.#session.store.dispatch({ type: 'marked-unread', channelId: message.channelId, messageId: before })
  }

  async pickEmoji(near, use) {
    const emoji = await pickEmoji(near)
    if (emoji) use(emoji)
  }

  // --- guilds, channels and people ----------------------------------------------------------------------------------

  async newGuild() {
    const given = await askFor('New server', [{ name: 'name', label: 'Its name', minlength: '2', maxlength: '100' }], { action: 'Create' })
    const guild = given && (await this.#session.attempt('guild', () => this.#session.api.post('/guilds', given)))
    if (!guild?.id) return
    const channel = await this.#session.attempt('channel', () => this.#session.api.get(`/guilds/${guild.id}/channels`))
    if (channel?.[0] && this.#session.store.state.channels.has(channel[0].id)) this.open(channel[0].id)
  }

  async newChannel(guild) {
    const given = await askFor(`New channel in ${guild.name}`, [{ name: 'name', label: 'Its name', maxlength: '100' }], { action: 'Create' })
    const channel = given && (await this.#session.attempt('channel', () => this.#session.api.post(`/guilds/${guild.id}/channels`, given)))
    if (channel?.id && this.#session.store.state.channels.has(channel.id)) this.open(channel.id)
  }

  async invite(guild) {
    const channel = this.#sidebar.order(this.#session.store.state).find((id) => this.#session.store.state.channels.get(id).guildId === guild.id)
    if (!channel) return
    const invite = await this.#session.attempt('invite', () => this.#session.api.post(`/channels/${channel}/invites`, { max_age: 86_400 }))
    if (!invite?.code) return
    const field = h('input', { id: 'invite-code', readonly: true, value: invite.code })
    await show(`Invite people to ${guild.name}`, () => [h('label', { for: 'invite-code' }, 'Whoever has this code can join, for one day'), field,
      h('div.dialog-buttons', {}, h('button.primary', { type: 'button', onclick: async (event) => (event.target.textContent = (await copyText(invite.code)) ? 'Copied' : 'Not copied') }, 'Copy'))])
  }

  async join() {
    const given = await askFor('Use an invite', [{ name: 'code', label: 'The code', autocomplete: 'off' }], { action: 'Join' })
    if (given) await this.#session.attempt('join', () => this.#session.api.post(`/invites/${encodeURIComponent(given.code.trim())}`))
  }

  async leave(guild) {
    if (await confirm(`Leave ${guild.name}?`, 'You can come back with an invite.', 'Leave')) {
      await this.#session.attempt('guild', () => this.#session.api.delete(`/users/@me/guilds/${guild.id}`))
    }
  }

  /** Open the conversation with a person. */
  async write(userId) {
    const channel = await this.#session.attempt('direct', () => this.#session.api.post('/users/@me/channels', { recipient_id: userId }))
    if (!channel?.id) return
    if (!this.#session.store.state.channels.has(channel.id)) this.#session.store.dispatch({ type: 'dispatch', name: 'CHANNEL_CREATE', data: channel, now: Date.now() })
    await this.open(channel.id)
    this.focusComposer()
  }

  async goTo() {
    const place = await goToDialog(this.#session.store.state)
    if (place?.channelId) this.open(place.channelId)
    else if (place?.userId) this.write(place.userId)
    this.focusComposer()
  }

  settings() {
    showSettings(this.#session, { onToken: () => location.reload(), onSignOut: this.#options.onSignOut })
  }

  // --- keys and drops ---------------------------------------------------------------------------------------------

  #key(event) {
    if (document.querySelector('dialog[open]')) return
    const control = event.ctrlKey || event.metaKey
    if (control && event.key === 'k') this.goTo()
    else if (control && event.key === 'f') this.showPanel('search')
    else if (control && event.key === '/') showKeys()
    else if (event.altKey && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) this.#step(event.key === 'ArrowUp' ? -1 : 1, event.shiftKey)
    else if (event.key === 'F6') this.#nextRegion(event.shiftKey ? -1 : 1)
    else if (event.key === 'Escape') this.#escape()
    else return
    event.preventDefault()
  }

  #step(step, isUnreadOnly) {
    const { state } = this.#session.store
    const order = this.#sidebar.order(state)
    const unread = new Set([...this.#root.querySelectorAll('.channel.is-unread')].map((link) => link.dataset.id))
    for (let at = order.indexOf(state.view.channelId) + step; at >= 0 && at < order.length; at += step) {
      if (!isUnreadOnly || unread.has(order[at])) {
        this.open(order[at])
        return
      }
    }
  }

  #nextRegion(step) {
    const regions = ['.sidebar', '.messages', '.composer', '.panel:not([hidden])'].map((name) => this.#root.querySelector(name)).filter(Boolean)
    const at = regions.findIndex((region) => region.contains(document.activeElement))
    const region = regions[(at + step + regions.length) % regions.length]
    if (region === this.#sidebar.element) {
      if (matchMedia(NARROW).matches) this.#frame.classList.add('has-sidebar')
      this.#sidebar.focus()
    } else if (region.matches('.composer')) this.#composer.focus()
    else (region.matches('.panel') ? region.querySelector('input, .panel-scroll') : region)?.focus()
  }

  #escape() {
    if (this.#frame.classList.contains('has-sidebar')) this.#closeDrawers()
    else if (this.#panelShown === 'search') this.showPanel(null)
    else this.#messages.toPresent()
    this.focusComposer()
  }

  #drop(event) {
    event.preventDefault()
    // A folder is among the files, but can't be read.
    const items = [...(event.dataTransfer?.items ?? [])].filter((item) => item.kind === 'file')
    const folders = items.filter((item) => item.webkitGetAsEntry?.()?.isDirectory)
    const files = items.filter((item) => !folders.includes(item)).map((item) => item.getAsFile()).filter(Boolean)
    if (folders.length) this.#session.notify({ id: 'file', kind: 'error', title: 'No folders', text: 'Folders can’t be sent. Choose the files in them.' })
    if (files.length) this.#composer.addFiles(files)
  }

  #listen(target, name, listener) {
    target.addEventListener(name, listener)
    this.#cleanup.push(() => target.removeEventListener(name, listener))
  }
}
