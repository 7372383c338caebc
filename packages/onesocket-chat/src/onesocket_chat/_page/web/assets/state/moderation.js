// Who may do what: roles and their permissions, and whom one has blocked.

import { withEntry, withoutEntry } from './maps.js'

/** Bits of Discord's permissions. */
export const PERMISSIONS = { kick: 1n << 1n, ban: 1n << 2n, administrator: 1n << 3n, channels: 1n << 4n, messages: 1n << 13n }
const BLOCKED = 2
const ALL = (1n << 53n) - 1n

/** Changes of roles and relationships by a dispatch of the gateway; null: none. */
export function reduceModeration(state, action) {
  if (action.type !== 'dispatch') return null
  const { name, data } = action
  switch (name) {
    case 'READY':
      return { blocked: new Map((data.relationships ?? []).filter((one) => one.type === BLOCKED).map((one) => [one.id, true])) }
    case 'RELATIONSHIP_ADD':
      return data.type === BLOCKED ? { blocked: withEntry(state.blocked, data.id, true) } : null
    case 'RELATIONSHIP_REMOVE':
      return { blocked: withoutEntry(state.blocked, data.id) }
    case 'GUILD_ROLE_CREATE':
    case 'GUILD_ROLE_UPDATE':
      return withRoles(state, data.guild_id, (roles) => withEntry(roles, data.role.id, roleOf(data.role)))
    case 'GUILD_ROLE_DELETE':
      return withRoles(state, data.guild_id, (roles) => withoutEntry(roles, data.role_id))
    default:
      return null
  }
}

/** The roles of a guild by their ids, as its object has them. */
export function rolesOf(guild) {
  return new Map((guild.roles ?? []).map((role) => [role.id, roleOf(role)]))
}

/** True if the user has a permission (of `PERMISSIONS`) in the guild. */
export function may(state, guildId, permission, userId = state.me?.id) {
  return (standing(state, guildId, userId).permissions & permission) !== 0n
}

/** True if I may do this to another member, who has to stand below me. */
export function mayTo(state, guildId, permission, userId) {
  return userId !== state.me?.id && may(state, guildId, permission) && standing(state, guildId).position > standing(state, guildId, userId).position
}

function standing(state, guildId, userId = state.me?.id) {
  const guild = state.guilds.get(guildId)
  if (!guild || userId === undefined) return { permissions: 0n, position: -1 }
  if (guild.ownerId === userId) return { permissions: ALL, position: Infinity }
  let permissions = guild.roles.get(guildId)?.permissions ?? 0n
  let position = 0
  for (const id of state.members.get(guildId)?.get(userId)?.roles ?? []) {
    const role = guild.roles.get(id)
    if (!role) continue
    permissions |= role.permissions
    position = Math.max(position, role.position)
  }
  return { permissions: permissions & PERMISSIONS.administrator ? ALL : permissions, position }
}

function withRoles(state, guildId, change) {
  const guild = state.guilds.get(guildId)
  return guild ? { guilds: withEntry(state.guilds, guildId, { ...guild, roles: change(guild.roles) }) } : null
}

function roleOf(role) {
  return { permissions: BigInt(role.permissions), position: role.position }
}
