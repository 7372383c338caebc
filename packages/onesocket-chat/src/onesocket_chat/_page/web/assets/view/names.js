// Names of channels and people.

import { DM } from '../state/directory.js'

/** A person's name, or null. */
export function nameOf(state, userId) {
  return state.users.get(userId)?.username ?? null
}

/** "#general" or the name of the other person. */
export function channelTitle(state, channelId) {
  const channel = state.channels.get(channelId)
  return channel ? channelLabel(state, channel) : 'no channel'
}

/** The same of a channel that may be gone. */
export function channelLabel(state, channel) {
  if (channel.type !== DM) return `#${channel.name}`
  return channel.recipients.map((id) => nameOf(state, id) ?? 'someone').join(', ')
}

/** The people of a channel. */
export function peopleOf(state, channelId) {
  const channel = state.channels.get(channelId)
  if (!channel) return []
  const ids = channel.guildId ? (state.members.get(channel.guildId)?.keys() ?? []) : [...channel.recipients, state.me?.id]
  return [...ids].map((id) => state.users.get(id)).filter(Boolean)
}

/** The address of a channel, or of a message. */
export function pathOf(state, channelId, messageId = null) {
  const channel = state.channels.get(channelId)
  const place = `/channels/${channel?.guildId ?? '@me'}/${channelId}`
  return messageId ? `${place}/${messageId}` : place
}
