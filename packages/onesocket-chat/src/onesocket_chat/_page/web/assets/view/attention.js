// What calls for attention outside of the page: title, icon and notifications of the desktop.

import { anyUnread, mentionCount, mentionsMe } from '../state/attention.js'
import { isNewer } from '../state/ids.js'
import { readSetting, writeSetting } from '../net/storage.js'
import { plainText } from '../text/markdown.js'
import { channelTitle, nameOf } from './names.js'

const ICONS = { none: '/assets/icons/favicon.svg', unread: '/assets/icons/favicon-unread.svg', mention: '/assets/icons/favicon-mention.svg' }

export class Attention {
  #session
  #open
  #icon = document.querySelector('link[rel=icon]')
  #shown = new Map() // message id -> { channelId, notification }

  /** `open(channelId, messageId)`: what a click on a notification leads to. */
  constructor(session, open) {
    this.#session = session
    this.#open = open
    session.on('MESSAGE_CREATE', (data, state) => this.#notify(data, state))
    session.on('MESSAGE_ACK', (data) => this.#withdraw(data))
  }

  update(state) {
    const mentions = mentionCount(state)
    const isUnread = mentions > 0 || anyUnread(state)
    const where = state.view.channelId ? `${channelTitle(state, state.view.channelId)} · onesocket` : 'onesocket chat'
    const title = `${mentions ? `(${mentions}) ` : isUnread ? '• ' : ''}${where}`
    if (document.title !== title) document.title = title
    const icon = ICONS[mentions ? 'mention' : isUnread ? 'unread' : 'none']
    if (this.#icon.getAttribute('href') !== icon) this.#icon.setAttribute('href', icon)
  }

  #notify(data, state) {
    if (!notificationsAreOn() || data.author.id === state.me?.id || !mentionsMe(state, data)) return
    const isSeen = document.visibilityState === 'visible' && document.hasFocus() && state.view.channelId === data.channel_id
    if (isSeen) return
    const channel = state.channels.get(data.channel_id)
    const place = channel?.guildId ? ` in ${channelTitle(state, channel.id)}` : ''
    const body = plainText(data.content, (id) => nameOf(state, id) ?? 'unknown').slice(0, 200)
    // One tag for each message: of several tabs, one shows it.
    const notification = makeNotification(`${data.author.username}${place}`, { body, tag: data.id, icon: ICONS.none })
    if (notification === null) return
    this.#shown.set(data.id, { channelId: data.channel_id, notification })
    notification.onclose = () => this.#shown.delete(data.id)
    notification.onclick = () => {
      focus()
      this.#open(data.channel_id, data.id)
      notification.close()
    }
  }

  /** A channel was read, perhaps in another tab, or elsewhere. */
  #withdraw({ channel_id: read, message_id: lastId }) {
    for (const [id, { channelId, notification }] of this.#shown) {
      if (channelId === read && !isNewer(id, lastId)) notification.close()
    }
  }
}

function makeNotification(title, options) {
  try {
    return new Notification(title, options)
  } catch {
    return null // some browsers for phones have the class, and let only service workers use it
  }
}

/** True if notifications are wanted, and allowed by the browser. */
export function notificationsAreOn() {
  return readSetting('notifications', false) && globalThis.Notification?.permission === 'granted'
}

/** Why there can be no notifications, in a sentence; null: there can. */
export function notificationsProblem() {
  if (!globalThis.Notification) return 'This browser has no notifications, or not for pages of this address.'
  if (!globalThis.isSecureContext) return 'Browsers show notifications of pages by https alone.'
  if (Notification.permission === 'denied') return 'The browser blocks notifications of this page. Its settings for the page can allow them.'
  return null
}

/** Switch notifications; returns a sentence if the browser doesn't let them through. The browser is asked here alone. */
export async function setNotifications(isOn) {
  if (!isOn) {
    writeSetting('notifications', null)
    return null
  }
  const problem = notificationsProblem()
  if (problem) return problem
  const permission = await Notification.requestPermission()
  if (permission !== 'granted') return notificationsProblem() ?? 'The browser was not allowed to show notifications.'
  writeSetting('notifications', true)
  return null
}
