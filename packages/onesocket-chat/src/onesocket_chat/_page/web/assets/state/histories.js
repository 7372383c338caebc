// The loaded part of each channel's messages: one run without a hole, oldest first.

import { compareIds, lowerBound } from './ids.js'
import { withEntry, withoutEntry } from './maps.js'

/** The history of a channel of which nothing is loaded. */
export const NOT_LOADED = Object.freeze({
  messages: [],
  hasOlder: true,
  hasNewer: false, // the run ends before the newest message, as after a jump
  isLoaded: false,
  loading: null, // 'latest', 'older', 'newer' or 'around'
  load: null, // the number of the load: the answer to an earlier one comes too late
  missed: [], // what came meanwhile, which the answer may not know of
})

/** The history of a channel. */
export function historyOf(state, channelId) {
  return state.histories.get(channelId) ?? NOT_LOADED
}

/** Changes of the histories; null: none. */
export function reduceHistories(state, action) {
  switch (action.type) {
    case 'history-loading':
      return change(state, action.channelId, (history) => ({ ...history, loading: action.mode, load: action.load ?? null, missed: [] }))
    case 'history-failed':
      return change(state, action.channelId, (history) => (history.load === (action.load ?? null) ? { ...history, loading: null } : history))
    case 'history-loaded':
      return change(state, action.channelId, (history) => (history.load === (action.load ?? null) ? replay(loaded(history, action)) : history))
    case 'histories-stale':
      // After a gap nobody knows what was changed or deleted: everything is loaded again when it is shown.
      return { histories: new Map([...state.histories].filter(([id]) => id === action.except)) }
    case 'message-stored':
      return changeNowAndLater(state, action.message.channel_id, (history) => insert(history, messageOf(action.message)))
    case 'dispatch':
      return HANDLERS[action.name]?.(state, action.data) ?? null
    default:
      return null
  }
}

const HANDLERS = {
  MESSAGE_CREATE(state, data) {
    return changeNowAndLater(state, data.channel_id, (history) => insert(history, messageOf(data)))
  },

  MESSAGE_UPDATE(state, data) {
    return changeNowAndLater(state, data.channel_id, (history) =>
      // Reactions in events don't say which are mine.
      edit(history, data.id, (message) => ({ ...messageOf(data), reactions: message.reactions })),
    )
  },

  MESSAGE_DELETE(state, data) {
    return changeNowAndLater(state, data.channel_id, (history) => remove(history, new Set([data.id])))
  },

  MESSAGE_DELETE_BULK(state, data) {
    return changeNowAndLater(state, data.channel_id, (history) => remove(history, new Set(data.ids)))
  },

  MESSAGE_REACTION_ADD(state, data) {
    const isMine = data.user_id === state.me?.id
    return change(state, data.channel_id, (history) =>
      edit(history, data.message_id, (message) => react(message, data.emoji.name, 1, isMine)),
    )
  },

  MESSAGE_REACTION_REMOVE(state, data) {
    const isMine = data.user_id === state.me?.id
    return change(state, data.channel_id, (history) =>
      edit(history, data.message_id, (message) => react(message, data.emoji.name, -1, isMine)),
    )
  },

  MESSAGE_REACTION_REMOVE_ALL(state, data) {
    return change(state, data.channel_id, (history) =>
      edit(history, data.message_id, (message) => ({ ...message, reactions: [] })),
    )
  },

  MESSAGE_REACTION_REMOVE_EMOJI(state, data) {
    return change(state, data.channel_id, (history) =>
      edit(history, data.message_id, (message) => ({
        ...message,
        reactions: message.reactions.filter((reaction) => reaction.name !== data.emoji.name),
      })),
    )
  },

  CHANNEL_DELETE(state, data) {
    return { histories: withoutEntry(state.histories, data.id) }
  },
}

/** A message as the page keeps it. */
export function messageOf(data) {
  const reference = data.referenced_message
  return {
    id: data.id,
    channelId: data.channel_id,
    authorId: data.author.id,
    authorName: data.author.username,
    isBot: Boolean(data.author.bot),
    content: data.content,
    timestamp: Date.parse(data.timestamp),
    isEdited: data.edited_timestamp != null,
    mentions: (data.mentions ?? []).map((user) => ({ id: user.id, username: user.username })),
    mentionsEveryone: Boolean(data.mention_everyone),
    attachments: data.attachments ?? [],
    embeds: data.embeds ?? [],
    reactions: (data.reactions ?? []).map(({ emoji, count, me }) => ({ name: emoji.name, count, isMine: me })),
    replyTo: data.message_reference?.message_id && !data.message_snapshots ? data.message_reference.message_id : null,
    // undefined: not told; null: deleted
    replied: reference ? { authorId: reference.author.id, authorName: reference.author.username, content: reference.content } : reference,
    nonce: data.nonce ?? null,
  }
}

function change(state, channelId, edit) {
  const known = state.histories.get(channelId) ?? NOT_LOADED
  const next = edit(known)
  return next === known ? null : { histories: withEntry(state.histories, channelId, next) }
}

/** Changes what is there, and what a load that is under way brings. */
function changeNowAndLater(state, channelId, edit) {
  return change(state, channelId, (history) => {
    const next = edit(history)
    return history.loading ? { ...next, missed: [...history.missed, edit] } : next
  })
}

function replay(history) {
  return history.missed.reduce((next, edit) => edit(next), { ...history, missed: [] })
}

function loaded(history, { mode, messages, limit, around, reachesEnd }) {
  const page = messages.map(messageOf).sort((a, b) => compareIds(a.id, b.id))
  const isFull = messages.length >= limit
  switch (mode) {
    case 'older':
      return { ...history, messages: merge(page, history.messages), hasOlder: isFull, loading: null }
    case 'newer':
      return { ...history, messages: merge(history.messages, page), hasNewer: isFull && !reachesEnd, loading: null }
    case 'around': {
      const older = page.filter((message) => compareIds(message.id, around) < 0)
      return { ...history, messages: page, hasOlder: older.length >= limit >> 1, hasNewer: !reachesEnd, isLoaded: true, loading: null }
    }
    default: {
      // What has come by the gateway while the page was loaded is newer than it.
      const since = history.isLoaded ? [] : history.messages
      return { ...history, messages: merge(page, since), hasOlder: isFull, hasNewer: false, isLoaded: true, loading: null }
    }
  }
}

function merge(older, newer) {
  if (!older.length) return newer
  const from = lowerBound(newer, older[older.length - 1].id)
  const isSame = newer[from]?.id === older[older.length - 1].id
  return [...older, ...newer.slice(isSame ? from + 1 : from)]
}

function insert(history, message) {
  const { messages } = history
  const place = lowerBound(messages, message.id)
  if (messages[place]?.id === message.id) return history
  if (history.hasNewer && place === messages.length) return history // it belongs behind the hole
  if (!history.isLoaded && !history.loading) return history // loaded as a whole when it is shown
  return { ...history, messages: [...messages.slice(0, place), message, ...messages.slice(place)] }
}

function edit(history, id, change) {
  const place = lowerBound(history.messages, id)
  const message = history.messages[place]
  if (message?.id !== id) return history
  const messages = [...history.messages]
  messages[place] = change(message)
  return { ...history, messages }
}

function remove(history, ids) {
  if (!history.messages.some((message) => ids.has(message.id) || ids.has(message.replyTo))) return history
  const left = history.messages.filter((message) => !ids.has(message.id))
  return { ...history, messages: left.map((message) => (ids.has(message.replyTo) ? { ...message, replied: null } : message)) }
}

function react(message, name, step, isMine) {
  const known = message.reactions.find((reaction) => reaction.name === name)
  if (!known) {
    return step > 0 ? { ...message, reactions: [...message.reactions, { name, count: 1, isMine }] } : message
  }
  if (isMine && known.isMine === step > 0) return message // our own request was told before the event
  const count = known.count + step
  const next = { name, count, isMine: isMine ? step > 0 : known.isMine }
  return {
    ...message,
    reactions: count > 0 ? message.reactions.map((one) => (one === known ? next : one)) : message.reactions.filter((one) => one !== known),
  }
}
