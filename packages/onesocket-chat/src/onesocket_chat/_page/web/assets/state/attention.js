// What asks for attention: unread messages, mentions, who is typing, and the divider above what is new.

import { isNewer } from './ids.js'
import { withEntry, withoutEntry } from './maps.js'
import { DM } from './directory.js'

export const TYPING_SHOWN_MS = 9_000

/** Changes by an action; null: none. */
export function reduceAttention(state, action) {
  switch (action.type) {
    case 'channel-opened':
      return { divider: withEntry(state.divider, action.channelId, dividerOf(state, action.channelId)) }
    case 'channel-read':
      return markRead(state, action.channelId, action.messageId)
    case 'divider-removed':
      return { divider: withoutEntry(state.divider, action.channelId) }
    case 'marked-unread':
      return {
        readStates: withEntry(state.readStates, action.channelId, action.messageId),
        divider: withEntry(state.divider, action.channelId, action.messageId),
      }
    case 'typing-expired':
      return expireTyping(state, action.now)
    case 'dispatch':
      return HANDLERS[action.name]?.(state, action.data, action.now) ?? null
    default:
      return null
  }
}

const HANDLERS = {
  READY(state, data) {
    const readStates = new Map((data.read_states ?? []).map((one) => [one.id, one.last_message_id]))
    const mentions = new Map((data.read_states ?? []).filter((one) => one.mention_count).map((one) => [one.id, one.mention_count]))
    return { readStates, mentions, mentionIds: new Map(), unread: new Map(), typing: new Map() }
  },

  MESSAGE_CREATE(state, data) {
    const { channel_id: channelId, author } = data
    const changes = { typing: stopTyping(state.typing, channelId, author.id) }
    if (author.id === state.me?.id) {
      // Writing in a channel reads it, as the server sees it.
      return { ...changes, ...markRead({ ...state, ...changes }, channelId, data.id) }
    }
    if (state.blocked.has(author.id)) return changes
    changes.unread = withEntry(state.unread, channelId, (state.unread.get(channelId) ?? 0) + 1)
    if (mentionsMe(state, data)) {
      changes.mentions = withEntry(state.mentions, channelId, (state.mentions.get(channelId) ?? 0) + 1)
      changes.mentionIds = withEntry(state.mentionIds, channelId, new Set(state.mentionIds.get(channelId)).add(data.id))
    }
    return changes
  },

  MESSAGE_DELETE(state, data) {
    return withoutMessages(state, data.channel_id, [data.id])
  },

  MESSAGE_DELETE_BULK(state, data) {
    return withoutMessages(state, data.channel_id, data.ids)
  },

  MESSAGE_ACK(state, data) {
    return markRead(state, data.channel_id, data.message_id)
  },

  TYPING_START(state, data, now) {
    if (data.user_id === state.me?.id) return null
    const typing = withEntry(state.typing.get(data.channel_id) ?? new Map(), data.user_id, now + TYPING_SHOWN_MS)
    return { typing: withEntry(state.typing, data.channel_id, typing) }
  },

  CHANNEL_DELETE(state, data) {
    return { ...withNothingNew(state, data.id), typing: withoutEntry(state.typing, data.id) }
  },
}

/**
 * True if a message, as the gateway sends it, is meant for me by name, by everyone, or by a direct message. Those of somebody
 * whom I blocked are not.
 */
export function mentionsMe(state, data) {
  if (state.blocked.has(data.author.id)) return false
  const mine = (data.mentions ?? []).some((user) => user.id === state.me?.id)
  return mine || Boolean(data.mention_everyone) || state.channels.get(data.channel_id)?.type === DM
}

/** True if a channel holds messages that were not read. */
export function isUnread(state, channelId) {
  const channel = state.channels.get(channelId)
  return channel != null && isNewer(channel.lastMessageId, state.readStates.get(channelId) ?? null)
}

/** The number of mentions in all channels. */
export function mentionCount(state) {
  let count = 0
  for (const [channelId, mentions] of state.mentions) if (state.channels.has(channelId)) count += mentions
  return count
}

/** What is new in other channels than the one that is shown: `{ mentions, isUnread }`. */
export function attentionElsewhere(state) {
  const found = { mentions: 0, isUnread: false }
  for (const id of state.channels.keys()) {
    if (id === state.view.channelId) continue
    found.mentions += state.mentions.get(id) ?? 0
    found.isUnread ||= isUnread(state, id)
  }
  return found
}

/** True if any channel holds messages that were not read. */
export function anyUnread(state) {
  for (const channelId of state.channels.keys()) if (isUnread(state, channelId)) return true
  return false
}

function dividerOf(state, channelId) {
  // "0": nothing was read before, so the divider stands above everything.
  return isUnread(state, channelId) ? (state.readStates.get(channelId) ?? '0') : null
}

function markRead(state, channelId, messageId) {
  if (!messageId || !isNewer(messageId, state.readStates.get(channelId) ?? null)) return null
  const readStates = withEntry(state.readStates, channelId, messageId)
  if (isUnread({ ...state, readStates }, channelId)) return { readStates }
  return { readStates, ...withNothingNew(state, channelId) }
}

function withNothingNew(state, channelId) {
  return {
    unread: withoutEntry(state.unread, channelId),
    mentions: withoutEntry(state.mentions, channelId),
    mentionIds: withoutEntry(state.mentionIds, channelId),
  }
}

/** The directory, which comes first, knows which message is the newest one now. */
function withoutMessages(state, channelId, ids) {
  const hasNew = state.unread.has(channelId) || state.mentions.has(channelId)
  if (hasNew && !isUnread(state, channelId)) return withNothingNew(state, channelId)
  return withoutMentions(state, channelId, ids)
}

/** A mention that was deleted calls for nobody's attention. */
function withoutMentions(state, channelId, ids) {
  const left = new Set(state.mentionIds.get(channelId))
  const gone = ids.filter((id) => left.delete(id)).length
  if (!gone) return null
  const count = (state.mentions.get(channelId) ?? 0) - gone
  return {
    mentions: count > 0 ? withEntry(state.mentions, channelId, count) : withoutEntry(state.mentions, channelId),
    mentionIds: left.size ? withEntry(state.mentionIds, channelId, left) : withoutEntry(state.mentionIds, channelId),
  }
}

function stopTyping(typing, channelId, userId) {
  const there = typing.get(channelId)
  return there?.has(userId) ? withEntry(typing, channelId, withoutEntry(there, userId)) : typing
}

function expireTyping(state, now) {
  let typing = state.typing
  for (const [channelId, people] of state.typing) {
    const left = new Map([...people].filter(([, until]) => until > now))
    if (left.size < people.size) typing = left.size ? withEntry(typing, channelId, left) : withoutEntry(typing, channelId)
  }
  return typing === state.typing ? null : { typing }
}
