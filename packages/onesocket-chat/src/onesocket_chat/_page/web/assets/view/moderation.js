// What moderators do, and what everybody may do about somebody else: delete, report, block, kick, ban.

import { PERMISSIONS, may, mayTo } from '../state/moderation.js'
import { askFor, confirm, show } from './dialogs.js'
import { h, iconButton } from './dom.js'

const DAY = 86_400
/** What is shown in place of a message of somebody who is blocked. */
export const BLOCKED_TEXT = 'A message of somebody whom you blocked'

/** True if the message can be deleted by me. */
export function mayDelete(state, message) {
  return message.authorId === state.me?.id || may(state, state.channels.get(message.channelId)?.guildId, PERMISSIONS.messages)
}

/** The button that reports somebody else's message; null for one's own. */
export function reportButton(session, message) {
  if (message.authorId === session.store.state.me?.id) return null
  return iconButton('flag', 'Report', () => report(session, message))
}

/** A row in place of a message of somebody who is blocked. */
export function blockedElement(row, onShow) {
  return h('article.message', { tabindex: '-1', 'data-key': row.key, 'aria-label': BLOCKED_TEXT },
    h('div.line', {}, h('div.gutter'), h('div.body', {}, h('button.link', { type: 'button', onclick: onShow }, `${BLOCKED_TEXT}: show it`))))
}

async function report(session, message) {
  const text = 'Whoever runs this chat sees the message as it is now, and your name.'
  const given = await askFor('Report this message?', [{ name: 'reason', label: 'What is wrong with it?', maxlength: '512' }], { action: 'Report', text })
  if (!given) return
  const path = `/channels/${message.channelId}/messages/${message.id}/report`
  const answer = await session.attempt('report', () => session.api.post(path, given))
  if (answer) session.notify({ id: 'reported', kind: 'info', title: 'Reported', text: 'Whoever runs this chat will see it.' })
}

/** The button that shows what can be done about a member; null for oneself. */
export function memberButton(session, user, guildId) {
  const { state } = session.store
  if (user.id === state.me?.id) return null
  return iconButton('more', `More about ${user.username}`, () => showMember(session, user, guildId))
}

function showMember(session, user, guildId) {
  const { state } = session.store
  const isBlocked = state.blocked.has(user.id)
  const relationship = `/users/@me/relationships/${user.id}`
  const guild = state.guilds.get(guildId)
  return show(user.username, (done) => {
    const button = (label, act, kind = 'button') => h(kind, { type: 'button', onclick: () => (done(null), act()) }, label)
    return h('div.dialog-buttons', {},
      isBlocked
        ? button('Unblock', () => session.attempt('block', () => session.api.delete(relationship)))
        : button('Block', () => block(session, user, relationship)),
      guild && mayTo(state, guildId, PERMISSIONS.kick, user.id) && button('Remove', () => kick(session, user, guild), 'button.danger'),
      guild && mayTo(state, guildId, PERMISSIONS.ban, user.id) && button('Ban', () => ban(session, user, guild), 'button.danger'))
  })
}

async function block(session, user, path) {
  if (!(await confirm(`Block ${user.username}?`, 'You no longer write to each other, and their messages are hidden here.', 'Block'))) return
  await session.attempt('block', () => session.api.put(path, { type: 2 }))
}

async function kick(session, user, guild) {
  if (!(await confirm(`Remove ${user.username} from ${guild.name}?`, 'They can come back with an invite.', 'Remove'))) return
  await session.attempt('kick', () => session.api.delete(`/guilds/${guild.id}/members/${user.id}`))
}

async function ban(session, user, guild) {
  if (!(await confirm(`Ban ${user.username} from ${guild.name}?`, 'They can’t come back, and what they wrote in the last day is deleted.', 'Ban'))) return
  await session.attempt('ban', () => session.api.put(`/guilds/${guild.id}/bans/${user.id}`, { delete_message_seconds: DAY }))
}
