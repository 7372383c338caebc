// Who may do what on the page, by roles; and whom one has blocked.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ADA, ASSETS, BOB, play, world } from './support.mjs'

const { PERMISSIONS, may, mayTo } = await import(`${ASSETS}/state/moderation.js`)

const CAT = { id: '3', username: 'cat' }
const role = (id, position, permissions) => ({ id, name: id, position, permissions: String(permissions) })

/** A guild that Bob owns: Ada has a role with these permissions, Cat one at this place. */
function guildOfBob(permissions, place = 1) {
  return world(['GUILD_CREATE', {
    id: '5', name: 'guild', owner_id: '2', member_count: 3, channels: [],
    roles: [role('5', 0, 0), role('7', 2, permissions), role('8', place, 0)],
    members: [{ user: ADA, roles: ['7'] }, { user: BOB, roles: [] }, { user: CAT, roles: ['8'] }],
  }])
}

test('a role gives its permissions, over those who stand lower', () => {
  const state = guildOfBob(PERMISSIONS.kick)
  assert.equal(may(state, '5', PERMISSIONS.kick), true)
  assert.equal(may(state, '5', PERMISSIONS.messages), false)
  assert.equal(mayTo(state, '5', PERMISSIONS.kick, CAT.id), true)
  assert.equal(mayTo(state, '5', PERMISSIONS.ban, CAT.id), false)
  for (const id of [BOB.id, ADA.id]) assert.equal(mayTo(state, '5', PERMISSIONS.kick, id), false)
  assert.equal(mayTo(guildOfBob(PERMISSIONS.kick, 2), '5', PERMISSIONS.kick, CAT.id), false)
})

test('an administrator and the owner may do all', () => {
  for (const permission of Object.values(PERMISSIONS)) {
    assert.equal(may(guildOfBob(PERMISSIONS.administrator), '5', permission), true)
    assert.equal(may(guildOfBob(0), '5', permission, BOB.id), true)
  }
  assert.equal(may(guildOfBob(0), 'another', PERMISSIONS.kick), false)
})

test('changed, new and deleted roles count at once', () => {
  const changed = (name, data) => play(guildOfBob(0), [name, { guild_id: '5', ...data }])
  assert.equal(may(changed('GUILD_ROLE_UPDATE', { role: role('7', 2, PERMISSIONS.ban) }), '5', PERMISSIONS.ban), true)
  assert.equal(may(play(guildOfBob(PERMISSIONS.ban), ['GUILD_ROLE_DELETE', { guild_id: '5', role_id: '7' }]), '5', PERMISSIONS.ban), false)
  const given = play(changed('GUILD_ROLE_CREATE', { role: role('9', 1, PERMISSIONS.messages) }), ['GUILD_MEMBER_UPDATE', { guild_id: '5', user: ADA, roles: ['9'] }])
  assert.equal(may(given, '5', PERMISSIONS.messages), true)
})

test('blocked people are known from READY on', () => {
  const ready = ['READY', { user: ADA, guilds: [], relationships: [{ id: '2', type: 2 }, { id: '3', type: 1 }] }]
  const state = world(ready)
  assert.deepEqual([...state.blocked.keys()], ['2'])
  assert.deepEqual([...play(state, ['RELATIONSHIP_ADD', { id: '3', type: 2 }]).blocked.keys()], ['2', '3'])
  assert.deepEqual([...play(state, ['RELATIONSHIP_REMOVE', { id: '2', type: 2 }]).blocked.keys()], [])
})
