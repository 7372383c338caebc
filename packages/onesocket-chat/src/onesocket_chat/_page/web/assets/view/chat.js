// The whole page of a signed-in account.

import { forgetInvite, inviteCode, invitedBy, inviteLink } from '../text/invite.js'
import { Attention } from './attention.js'
import { showBans } from './bans.js'
import { Composer } from './composer.js'
import { askFor, confirm, show, showKeys } from './dialogs.js'
import { copyText, fill, h, iconButton, shortcutKey } from './dom.js'
import { EmptyView } from './empty.js'
import { MembersView } from './members.js'
import { MessagesView } from './messages.js'
import { Navigation } from './navigation.js'
import { Notices } from './notices.js'
import { pickEmoji } from './picker.js'
import { SearchView } from './search.js'
import { showSettings } from './settings.js'
import { Sidebar } from './sidebar.js'
import { goToDialog } from './switcher.js'
import { Topbar } from './topbar.js'

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
  #topbar
  #empty
  #navigation
  #notices
  #attention
  #panel = h('aside.panel', { 'aria-label': 'People', hidden: true })
  #panelShown = null
  #panelBefore = null // what the search has taken the place of
  #focusesNext = false
  #frame
  #cleanup = []

  /** `onSignOut()`: the user signs out. `drafts`: those of the view that was left. */
  constructor(root, session, options) {
    this.#session = session
    this.#root = root
    this.#options = options
    this.#sidebar = new Sidebar(this)
    this.#messages = new MessagesView(session, this)
    this.#composer = new Composer(session, this, options.drafts)
    this.#members = new MembersView(session, this)
    this.#search = new SearchView(session, this)
    this.#topbar = new Topbar(session, this)
    this.#empty = new EmptyView(this)
    this.#navigation = new Navigation(session, { order: (state) => this.#sidebar.order(state), onArrived: () => this.#arrived(), onWanted: (id) => (this.open(id), this.focusComposer()) })
    this.#notices = new Notices(session.store)
    this.#attention = new Attention(session, (channelId, messageId) => this.open(channelId, messageId))
    const main = h('main.conversation', {}, this.#topbar.element, this.#empty.element, this.#messages.element, this.#composer.element)
    this.#frame = h('div.chat', {}, this.#sidebar.element, h('div.scrim', { onclick: () => this.#closeDrawers() }), main, this.#panel)
    fill(root, this.#frame, this.#notices.element)
    const narrow = matchMedia(NARROW)
    if (!narrow.matches) this.showPanel('members', { focus: false })
    this.#listen(narrow, 'change', () => narrow.matches && this.#closePanels())
    this.#listen(window, 'keydown', (event) => this.#key(event))
    this.#listen(window, 'popstate', () => this.#navigation.addressChanged())
    this.#listen(window, 'focus', () => this.#messages.seen())
    this.#listen(document, 'visibilitychange', () => this.#messages.seen())
    this.#listen(window, 'pagehide', () => this.#composer.keep())
    this.#listen(window, 'beforeunload', (event) => (this.#composer.hasFiles || this.#hasUnsentFiles) && event.preventDefault())
    this.#listen(window, 'dragover', (event) => event.preventDefault())
    this.#listen(window, 'drop', (event) => this.#drop(event))
    this.#cleanup.push(session.store.subscribe(() => this.#update()))
    this.#update()
    const code = invitedBy()
    forgetInvite()
    if (code !== null) this.join(code)
  }

  /** Leave the page to what comes next. */
  close() {
    for (const undo of this.#cleanup) undo()
    this.#topbar.close()
    this.#composer.close()
    this.#search.close()
    for (const dialog of document.querySelectorAll('dialog')) dialog.close()
  }

  /** What was being written when this was closed, with its files. */
  get drafts() {
    return this.#composer.drafts
  }

  // --- navigation -------------------------------------------------------------------------------------------------

  /** Show a channel, and one of its messages. */
  open(channelId, messageId = null) {
    this.#closeDrawers()
    return this.#navigation.open(channelId, messageId)
  }

  /** Show a message, by a link of a reply or of a search. */
  jump(channelId, messageId) {
    if (matchMedia(NARROW).matches) this.#closePanels()
    return this.open(channelId, messageId)
  }

  /** A conversation was opened without a click: one may write at once, unless something else has the focus. */
  #arrived() {
    const { activeElement } = document
    if (activeElement === document.body || this.#empty.element.contains(activeElement)) this.focusComposer()
  }

  #update() {
    this.#navigation.settle()
    const { state } = this.#session.store
    const { channelId } = state.view
    this.#sidebar.update(state)
    this.#topbar.update(state)
    this.#messages.element.hidden = channelId === null
    this.#messages.update(state)
    this.#composer.update(state)
    const { gone } = this.#navigation
    this.#empty.update(state, { gone, first: gone && this.#navigation.first(state), unsent: () => this.#unsentIn(state, gone.channel.id) })
    if (this.#focusesNext && channelId !== null) this.focusComposer()
    if (this.#panelShown === 'members') this.#members.update(state)
    this.#notices.update(state)
    this.#attention.update(state)
  }

  get #hasUnsentFiles() {
    const { outbox, channels } = this.#session.store.state
    return outbox.some(({ files, channelId }) => files.length && channels.has(channelId))
  }

  #unsentIn(state, channelId) {
    const drafts = state.outbox.filter((draft) => draft.channelId === channelId).map((draft) => draft.content)
    return [...drafts, this.#composer.textOf(channelId)].filter(Boolean).join('\n\n')
  }

  // --- panels and drawers ----------------------------------------------------------------------------------------

  /** Show `members`, `search` or nothing (null) at the side; again: hide it. The search gives its place back. */
  showPanel(name, { focus = true } = {}) {
    const isSearched = this.#panelShown === 'search'
    const next = name === this.#panelShown && name !== 'search' ? null : (name ?? (isSearched ? this.#panelBefore : null))
    if (next === 'search' && !isSearched) this.#panelBefore = matchMedia(NARROW).matches ? null : this.#panelShown
    this.#panelShown = next
    this.#panel.hidden = next === null
    this.#frame.classList.toggle('has-panel', next !== null)
    if (next === null) return
    const view = next === 'members' ? this.#members : this.#search
    this.#panel.setAttribute('aria-label', next === 'members' ? 'People' : 'Search')
    fill(this.#panel, iconButton('close', 'Close', () => this.#leavePanel(), { class: 'icon-button panel-close' }), view.element)
    view.update(this.#session.store.state)
    if (focus && name !== null) view.focus?.()
  }

  #leavePanel() {
    this.showPanel(null)
    this.focusComposer()
  }

  #closePanels() {
    this.#panelBefore = null
    this.showPanel(null)
  }

  toggleSidebar() {
    const isOpen = this.#frame.classList.toggle('has-sidebar')
    if (isOpen) this.#sidebar.focus()
  }

  #closeDrawers() {
    this.#frame.classList.remove('has-sidebar')
  }

  // --- messages ---------------------------------------------------------------------------------------------------

  focusComposer() {
    this.#focusesNext = this.#composer.element.hidden // it is shown with the conversation
    if (!this.#focusesNext && !matchMedia('(pointer: coarse)').matches) this.#composer.focus()
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
    const attempt = (given, refuse) => this.#session.attempt('guild', () => this.#session.api.post('/guilds', given), refuse)
    const guild = await askFor('New server', [{ name: 'name', label: 'Its name', minlength: '2', maxlength: '100' }], { action: 'Create', attempt })
    if (!guild?.id) return
    const channel = await this.#session.attempt('channel', () => this.#session.api.get(`/guilds/${guild.id}/channels`))
    if (channel?.[0]) this.#navigation.openOnceKnown(channel[0].id)
  }

  async newChannel(guild) {
    const attempt = (given, refuse) => this.#session.attempt('channel', () => this.#session.api.post(`/guilds/${guild.id}/channels`, given), refuse)
    const channel = await askFor(`New channel in ${guild.name}`, [{ name: 'name', label: 'Its name', maxlength: '100' }], { action: 'Create', attempt })
    if (channel?.id) this.#navigation.openOnceKnown(channel.id) // its event may come after this answer
  }

  async invite(guild) {
    const channel = this.#sidebar.order(this.#session.store.state).find((id) => this.#session.store.state.channels.get(id).guildId === guild.id)
    if (!channel) return
    const invite = await this.#session.attempt('invite', () => this.#session.api.post(`/channels/${channel}/invites`, { max_age: 86_400 }))
    if (!invite?.code) return
    const link = inviteLink(invite.code)
    const field = h('input', { id: 'invite-link', readonly: true, value: link, onfocus: () => field.select() })
    await show(`Invite people to ${guild.name}`, () => [h('label', { for: 'invite-link' }, 'Whoever has this link can join, for one day'), field,
      h('div.dialog-buttons', {}, h('button.primary', { type: 'button', onclick: async (event) => (event.target.textContent = (await copyText(link)) ? 'Copied' : 'Not copied') }, 'Copy'))])
  }

  async join(code = '') {
    const attempt = ({ code }, refuse) => this.#session.attempt('join', () => this.#session.api.post(`/invites/${encodeURIComponent(inviteCode(code))}`), refuse)
    const field = { name: 'code', label: 'The code, or the whole link', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', value: code }
    const invite = await askFor('Use an invite', [field], { action: 'Join', attempt })
    if (invite?.channel?.id) this.#navigation.openOnceKnown(invite.channel.id)
  }

  async leave(guild) {
    if (await confirm(`Leave ${guild.name}?`, 'You can come back with an invite.', 'Leave')) {
      this.#navigation.leaves(guild)
      await this.#session.attempt('guild', () => this.#session.api.delete(`/users/@me/guilds/${guild.id}`))
    }
  }

  bans(guild) {
    showBans(this.#session, guild)
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
    this.#composer.keep() // signing out asks whether something was written
    showSettings(this.#session, { onToken: () => location.reload(), onSignOut: this.#options.onSignOut })
  }

  // --- keys and drops ---------------------------------------------------------------------------------------------

  #key(event) {
    if (document.querySelector('dialog[open]')) return
    const control = event.ctrlKey || event.metaKey
    const letter = control && !event.shiftKey && !event.altKey ? shortcutKey(event) : null
    if (letter === 'k') this.goTo()
    else if (letter === 'f') this.showPanel('search')
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
