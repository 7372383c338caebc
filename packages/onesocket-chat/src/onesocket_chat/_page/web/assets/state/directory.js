// Guilds, channels, users, members and presences.

import { historyOf } from './histories.js'
import { isNewer } from './ids.js'
import { withEntry, withoutEntry } from './maps.js'
import { rolesOf } from './moderation.js'
import { shownName } from '../text/names.js'

export const DM = 1
const MAX_EARLIER = 100

/** Changes of the directory by a dispatch of the gateway; null: none. */
export function reduceDirectory(state, action) {
  if (action.type === 'snapshot') return action.parts
  if (action.type === 'presences-changed') return { presences: new Map([...state.presences, ...action.presences]) }
  if (action.type === 'guild-members') return addMembers(state, action.guildId, action.members)
  if (action.type !== 'dispatch') return null
  const { name, data } = action
  const handler = HANDLERS[name]
  return handler ? handler(state, data) : null
}

const HANDLERS = {
  READY(state, data) {
    const channels = new Map()
    for (const channel of data.private_channels ?? []) channels.set(channel.id, channelOf(channel))
    const users = new Map(state.users).set(data.user.id, userOf(data.user))
    for (const channel of data.private_channels ?? []) {
      for (const user of channel.recipients ?? []) users.set(user.id, userOf(user))
    }
    // Guilds that are still mine keep what they showed until their GUILD_CREATE comes.
    const mine = new Set((data.guilds ?? []).map((guild) => guild.id))
    const guilds = new Map([...state.guilds].filter(([id]) => mine.has(id)))
    for (const channel of state.channels.values()) if (mine.has(channel.guildId)) channels.set(channel.id, channel)
    const members = new Map([...state.members].filter(([id]) => mine.has(id)))
    const awaited = new Map([...mine].map((id) => [id, true]))
    return { me: userOf(data.user), isReady: true, guilds, awaited, channels, users, members, presences: new Map() }
  },

  GUILD_CREATE(state, data) {
    const channels = new Map([...state.channels].filter(([, channel]) => channel.guildId !== data.id))
    for (const channel of data.channels ?? []) channels.set(channel.id, channelOf(channel, data.id))
    const users = new Map(state.users)
    const members = new Map()
    for (const member of data.members ?? []) {
      users.set(member.user.id, userOf(member.user))
      members.set(member.user.id, memberOf(member))
    }
    const presences = new Map(state.presences)
    for (const presence of data.presences ?? []) presences.set(presence.user.id, presence.status)
    return {
      guilds: withEntry(state.guilds, data.id, { ...guildOf(data), memberCount: data.member_count, isLarge: data.large }),
      awaited: withoutEntry(state.awaited, data.id),
      channels,
      users,
      members: withEntry(state.members, data.id, members),
      presences,
    }
  },

  GUILD_UPDATE(state, data) {
    const known = state.guilds.get(data.id)
    return known ? { guilds: withEntry(state.guilds, data.id, { ...known, ...guildOf(data) }) } : null
  },

  GUILD_DELETE(state, data) {
    const awaited = withoutEntry(state.awaited, data.id)
    // It comes when its outage is over, and nothing waits for that.
    if (data.unavailable) return awaited === state.awaited ? null : { awaited }
    return {
      awaited,
      guilds: withoutEntry(state.guilds, data.id),
      members: withoutEntry(state.members, data.id),
      channels: new Map([...state.channels].filter(([, channel]) => channel.guildId !== data.id)),
    }
  },

  CHANNEL_CREATE(state, data) {
    const users = new Map(state.users)
    for (const user of data.recipients ?? []) users.set(user.id, userOf(user))
    return { channels: withEntry(state.channels, data.id, channelOf(data)), users }
  },

  CHANNEL_UPDATE(state, data) {
    const known = state.channels.get(data.id)
    const channel = channelOf(data)
    const { lastMessageId, earlierIds } = known ?? channel
    return { channels: withEntry(state.channels, data.id, { ...channel, lastMessageId: lastMessageId ?? channel.lastMessageId, earlierIds }) }
  },

  CHANNEL_DELETE(state, data) {
    return { channels: withoutEntry(state.channels, data.id) }
  },

  MESSAGE_CREATE(state, data) {
    const changes = { users: withUser(state.users, data.author) }
    const channel = state.channels.get(data.channel_id)
    if (channel) {
      const next = withMessage(channel, data.id)
      if (next !== channel) changes.channels = withEntry(state.channels, channel.id, next)
    }
    return changes
  },

  MESSAGE_DELETE(state, data) {
    return withoutMessages(state, data.channel_id, [data.id])
  },

  MESSAGE_DELETE_BULK(state, data) {
    return withoutMessages(state, data.channel_id, data.ids)
  },

  GUILD_MEMBER_ADD(state, data) {
    const changes = addMembers(state, data.guild_id, [data])
    const guild = state.guilds.get(data.guild_id)
    if (changes && guild) {
      changes.guilds = withEntry(state.guilds, guild.id, { ...guild, memberCount: (guild.memberCount ?? 0) + 1 })
    }
    return changes
  },

  GUILD_MEMBER_UPDATE(state, data) {
    return addMembers(state, data.guild_id, [data])
  },

  GUILD_MEMBER_REMOVE(state, data) {
    const members = state.members.get(data.guild_id)
    const guild = state.guilds.get(data.guild_id)
    if (!members || !guild) return null
    return {
      members: withEntry(state.members, data.guild_id, withoutEntry(members, data.user.id)),
      guilds: withEntry(state.guilds, guild.id, { ...guild, memberCount: Math.max(0, (guild.memberCount ?? 1) - 1) }),
    }
  },

  GUILD_MEMBERS_CHUNK(state, data) {
    const changes = addMembers(state, data.guild_id, data.members)
    if (!changes) return null
    const presences = new Map(state.presences)
    for (const presence of data.presences ?? []) presences.set(presence.user.id, presence.status)
    return { ...changes, presences }
  },

  USER_UPDATE(state, data) {
    return { me: userOf(data), users: withEntry(state.users, data.id, userOf(data)) }
  },
}

function addMembers(state, guildId, list) {
  const known = state.members.get(guildId)
  if (!known) return null
  const users = new Map(state.users)
  const members = new Map(known)
  for (const member of list) {
    users.set(member.user.id, userOf(member.user))
    members.set(member.user.id, memberOf(member))
  }
  return { users, members: withEntry(state.members, guildId, members) }
}

/** The channel with a message, which is the newest one, or comes behind a later one that was stored at the same time. */
function withMessage(channel, id) {
  const { lastMessageId, earlierIds } = channel
  if (isNewer(id, lastMessageId)) return { ...channel, lastMessageId: id, earlierIds: [...earlierIds, lastMessageId].slice(-MAX_EARLIER) }
  const place = earlierIds.findLastIndex((earlier) => isNewer(id, earlier)) + 1
  if (place === 0 || id === (earlierIds[place] ?? lastMessageId)) return channel
  return { ...channel, earlierIds: [...earlierIds.slice(0, place), id, ...earlierIds.slice(place)] }
}

/** The newest message of a channel is one that is left, as far as it is known; the server says it in the next READY. */
function withoutMessages(state, channelId, ids) {
  const channel = state.channels.get(channelId)
  if (!channel) return null
  const earlierIds = channel.earlierIds.filter((id) => !ids.includes(id))
  if (!ids.includes(channel.lastMessageId)) {
    if (earlierIds.length === channel.earlierIds.length) return null
    return { channels: withEntry(state.channels, channelId, { ...channel, earlierIds }) }
  }
  if (!earlierIds.length) {
    const { messages, isLoaded, hasOlder } = historyOf(state, channelId)
    const left = messages.filter((message) => !ids.includes(message.id))
    const isWhole = isLoaded && messages.at(-1)?.id === channel.lastMessageId // else it ends before, as after an outage
    if (!isWhole || (!left.length && hasOlder)) return null
    earlierIds.push(left.at(-1)?.id ?? null)
  }
  const lastMessageId = earlierIds.pop()
  return { channels: withEntry(state.channels, channelId, { ...channel, lastMessageId, earlierIds }) }
}

function withUser(users, user) {
  const known = users.get(user.id)
  return known && known.username === user.username ? users : withEntry(users, user.id, userOf(user))
}

function userOf(user) {
  return { id: user.id, username: user.username, isBot: Boolean(user.bot) }
}

function memberOf(member) {
  return { userId: member.user.id, nick: member.nick ?? null, roles: member.roles ?? [] }
}

function guildOf(guild) {
  return { id: guild.id, name: shownName(guild.name), ownerId: guild.owner_id, roles: rolesOf(guild) }
}

function channelOf(channel, guildId = channel.guild_id ?? null) {
  return {
    id: channel.id,
    type: channel.type,
    guildId,
    name: channel.name == null ? null : shownName(channel.name),
    topic: channel.topic ?? null,
    position: channel.position ?? 0,
    lastMessageId: channel.last_message_id ?? null,
    earlierIds: [], // of those that were the newest one before, oldest first; null: there was none
    recipients: (channel.recipients ?? []).map((user) => user.id),
  }
}
