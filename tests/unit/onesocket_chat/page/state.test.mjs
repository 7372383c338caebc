import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareIds } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/state/ids.js'
import { anyUnread, attentionElsewhere, isUnread, mentionCount } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/state/attention.js'
import { PresenceBuffer } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/state/presence_buffer.js'
import { ADA, BOB, ids, loaded, message, play, world } from './support.mjs'

test('ids are compared as numbers that are too large for numbers', () => {
  assert.ok(compareIds('9', '10') < 0)
  assert.ok(compareIds('1180000000000000001', '1180000000000000002') < 0)
  assert.equal(compareIds('5', '5'), 0)
})

test('READY and GUILD_CREATE tell who and what there is', () => {
  const state = world()
  assert.equal(state.me.username, 'ada')
  assert.deepEqual([...state.channels.keys()], ['20', '10', '11'])
  assert.equal(state.presences.get('2'), 'online')
  assert.equal(state.members.get('5').size, 2)
})

test('a message is unread until it is read, and one that mentions me counts', () => {
  let state = world()
  assert.ok(!isUnread(state, '10'))
  state = play(state, ['MESSAGE_CREATE', message(101)], ['MESSAGE_CREATE', message(102, BOB, { mentions: [ADA] })])
  assert.ok(isUnread(state, '10'))
  assert.equal(state.unread.get('10'), 2)
  assert.equal(mentionCount(state), 1)
  state = play(state, { type: 'channel-read', channelId: '10', messageId: '101' })
  assert.equal(mentionCount(state), 1) // 102 is not read
  state = play(state, ['MESSAGE_ACK', { channel_id: '10', message_id: '102' }]) // on another device
  assert.ok(!anyUnread(state))
  assert.equal(mentionCount(state), 0)
})

test('direct messages and @everyone count as mentions; my own messages are read', () => {
  const state = world(
    ['MESSAGE_CREATE', message(101, BOB, { channel_id: '20' })],
    ['MESSAGE_CREATE', message(102, BOB, { mention_everyone: true })],
    ['MESSAGE_CREATE', message(103, ADA, { channel_id: '11' })],
  )
  assert.equal(mentionCount(state), 2)
  assert.ok(!isUnread(state, '11'))
})

test('a mention that is deleted before it was read counts no more', () => {
  const mine = (id, channel = '10') => ['MESSAGE_CREATE', message(id, BOB, { channel_id: channel, mentions: [ADA] })]
  let state = world(mine(101), mine(102), mine(103), mine(104, '11'), ['MESSAGE_CREATE', message(105)])
  assert.equal(mentionCount(state), 4)
  state = play(state, ['MESSAGE_DELETE', { channel_id: '10', id: '102' }], ['MESSAGE_DELETE', { channel_id: '10', id: '105' }])
  assert.equal(mentionCount(state), 3)
  state = play(state, ['MESSAGE_DELETE', { channel_id: '10', id: '102' }]) // told again
  assert.equal(mentionCount(state), 3)
  state = play(state, ['MESSAGE_DELETE_BULK', { channel_id: '10', ids: ['101', '103', '99'] }])
  assert.equal(mentionCount(state), 1)
  state = play(state, ['MESSAGE_ACK', { channel_id: '11', message_id: '104' }], ['MESSAGE_DELETE', { channel_id: '11', id: '104' }])
  assert.equal(mentionCount(state), 0)
})

test('a channel whose new messages are deleted is not unread', () => {
  const gone = (...ids) => ['MESSAGE_DELETE_BULK', { channel_id: '10', ids }]
  const state = world(['MESSAGE_CREATE', message(101)], ['MESSAGE_CREATE', message(102)], ['MESSAGE_CREATE', message(103, BOB, { mentions: [ADA] })])
  const part = play(state, gone('103'))
  assert.deepEqual([isUnread(part, '10'), mentionCount(part), part.channels.get('10').lastMessageId], [true, 0, '102'])
  const read = play(part, ['CHANNEL_UPDATE', { id: '10', type: 0, guild_id: '5', name: 'new' }], gone('101', '102'))
  assert.deepEqual([isUnread(read, '10'), read.unread.get('10')], [false, undefined])
  assert.ok(!isUnread(play(state, gone('101', '102', '103')), '10'))
  assert.ok(isUnread(play(read, ['MESSAGE_CREATE', message(104)]), '10'))
})

test('the newest message of a channel is found in its history', () => {
  const deleted = ['MESSAGE_DELETE', { channel_id: '10', id: '102' }]
  const newest = (state) => play(state, deleted).channels.get('10').lastMessageId
  const last = ['GUILD_CREATE', { id: '5', name: 'g', owner_id: '1', channels: [{ id: '10', type: 0, last_message_id: '102' }], members: [] }]
  assert.equal(newest(play(world(last), loaded([message(101), message(102)]))), '101')
  assert.equal(newest(world(last)), '102') // nobody knows
})

test('a mention of which READY told is not counted once its channel has nothing new', () => {
  const ready = ['READY', { user: ADA, guilds: [{ id: '5' }], read_states: [{ id: '10', last_message_id: '101', mention_count: 1 }] }]
  const guild = ['GUILD_CREATE', { id: '5', name: 'g', owner_id: '1', channels: [{ id: '10', type: 0, last_message_id: '102' }], members: [] }]
  const state = world(ready, guild, loaded([message(101), message(102)]))
  assert.equal(mentionCount(state), 1)
  assert.equal(mentionCount(play(state, ['MESSAGE_DELETE', { channel_id: '10', id: '102' }])), 0)
})

test('messages of an outage that are not loaded yet stay unread when the newest is deleted', () => {
  const last = ['GUILD_CREATE', { id: '5', name: 'g', owner_id: '1', channels: [{ id: '10', type: 0, last_message_id: '105' }], members: [] }]
  const state = world(loaded([message(99), message(100)]), last)
  assert.ok(isUnread(play(state, ['MESSAGE_DELETE', { channel_id: '10', id: '105' }]), '10'))
})

test('a message that comes behind a later one stays unread when that is deleted', () => {
  const state = world(['MESSAGE_CREATE', message(102)], ['MESSAGE_CREATE', message(101, BOB, { mentions: [ADA] })], ['MESSAGE_CREATE', message(101)])
  const left = play(state, ['MESSAGE_DELETE', { channel_id: '10', id: '102' }])
  assert.deepEqual([isUnread(left, '10'), mentionCount(left), left.channels.get('10').lastMessageId], [true, 1, '101'])
  assert.ok(!isUnread(play(left, ['MESSAGE_DELETE', { channel_id: '10', id: '101' }]), '10'))
})

test('what somebody who is blocked writes is no mention, and not counted as new', () => {
  const state = world(
    ['RELATIONSHIP_ADD', { id: BOB.id, type: 2 }],
    ['MESSAGE_CREATE', message(101, BOB, { mentions: [ADA] })],
    ['MESSAGE_CREATE', message(102, BOB, { mention_everyone: true })],
    ['MESSAGE_CREATE', message(103, { id: '3', username: 'cat' }, { mention_everyone: true })],
  )
  assert.deepEqual([mentionCount(state), state.unread.get('10')], [1, 1])
})

test('the divider stands where it stood when the channel was opened', () => {
  let state = play(world(['MESSAGE_CREATE', message(101)]), { type: 'channel-opened', channelId: '10' })
  assert.equal(state.divider.get('10'), '100')
  state = play(state, { type: 'channel-read', channelId: '10', messageId: '101' })
  assert.equal(state.divider.get('10'), '100')
  state = play(state, { type: 'channel-opened', channelId: '10' })
  assert.equal(state.divider.get('10'), null)
})

test('a history is one run: pages are joined without doubles, and a late event is put in its place', () => {
  let state = play(world(), loaded([message(103), message(102)], { limit: 2 }))
  assert.deepEqual(ids(state), ['102', '103'])
  state = play(state, loaded([message(102), message(101)], { mode: 'older', limit: 2 }))
  assert.deepEqual(ids(state), ['101', '102', '103'])
  assert.ok(state.histories.get('10').hasOlder)
  state = play(state, loaded([message(99)], { mode: 'older', limit: 2 }))
  assert.ok(!state.histories.get('10').hasOlder)
  state = play(state, ['MESSAGE_CREATE', message(104)], ['MESSAGE_CREATE', message(104)], ['MESSAGE_CREATE', message(100)])
  assert.deepEqual(ids(state), ['99', '100', '101', '102', '103', '104'])
})

test('what comes while the first page is loaded is not lost', () => {
  const state = play(world(), { type: 'history-loading', channelId: '10', mode: 'latest' }, ['MESSAGE_CREATE', message(103)], loaded([message(102)]))
  assert.deepEqual(ids(state), ['102', '103'])
})

test('after a jump new messages belong behind a hole, until it is closed', () => {
  let state = play(world(), loaded([message(52), message(51), message(50), message(49)], { mode: 'around', around: '51', limit: 4, reachesEnd: false }))
  assert.ok(state.histories.get('10').hasNewer)
  state = play(state, ['MESSAGE_CREATE', message(101)])
  assert.deepEqual(ids(state), ['49', '50', '51', '52'])
  state = play(state, loaded([message(101), message(100)], { mode: 'newer', limit: 2, reachesEnd: true }))
  assert.deepEqual(ids(state), ['49', '50', '51', '52', '100', '101'])
  assert.ok(!state.histories.get('10').hasNewer)
})

test('edits keep reactions, deletions reach replies', () => {
  let state = play(world(), loaded([
    message(102, ADA, { message_reference: { message_id: '101' }, referenced_message: message(101) }),
    message(101, BOB, { reactions: [{ emoji: { name: '👍' }, count: 1, me: true }] }),
  ]))
  state = play(state, ['MESSAGE_UPDATE', message(101, BOB, { content: 'changed', edited_timestamp: 'now', reactions: [{ emoji: { name: '👍' }, count: 1, me: false }] })])
  const [first] = state.histories.get('10').messages
  assert.deepEqual([first.content, first.isEdited, first.reactions], ['changed', true, [{ name: '👍', count: 1, isMine: true }]])
  state = play(state, ['MESSAGE_DELETE', { id: '101', channel_id: '10' }])
  assert.equal(state.histories.get('10').messages[0].replied, null)
})

test('reactions come and go', () => {
  const event = { channel_id: '10', message_id: '101', emoji: { name: '🎉' } }
  let state = play(world(), loaded([message(101)]))
  const reactions = () => state.histories.get('10').messages[0].reactions
  state = play(state, ['MESSAGE_REACTION_ADD', { ...event, user_id: '2' }], ['MESSAGE_REACTION_ADD', { ...event, user_id: '1' }])
  assert.deepEqual(reactions(), [{ name: '🎉', count: 2, isMine: true }])
  state = play(state, ['MESSAGE_REACTION_REMOVE', { ...event, user_id: '1' }])
  assert.deepEqual(reactions(), [{ name: '🎉', count: 1, isMine: false }])
  state = play(state, ['MESSAGE_REACTION_REMOVE', { ...event, user_id: '2' }])
  assert.deepEqual(reactions(), [])
})

test('a draft is pending until its message comes, by whichever way', () => {
  const draft = { nonce: 'n1', channelId: '10', content: 'hello', state: 'waiting' }
  const begun = play(world(), { type: 'draft-added', draft })
  assert.equal(begun.outbox.length, 1)
  for (const action of [
    ['MESSAGE_CREATE', message(101, ADA, { nonce: 'n1' })],
    { type: 'message-stored', message: message(101, ADA, { nonce: 'n1' }) },
    loaded([message(101, ADA, { nonce: 'n1' })]),
  ]) {
    assert.equal(play(begun, action).outbox.length, 0)
  }
  // Somebody else's nonce is no proof.
  assert.equal(play(begun, ['MESSAGE_CREATE', message(101, BOB, { nonce: 'n1' })]).outbox.length, 1)
})

test('typing is shown for a while, and ends with the message', () => {
  let state = world(['TYPING_START', { channel_id: '10', user_id: '2' }], ['TYPING_START', { channel_id: '10', user_id: '1' }])
  assert.deepEqual([...state.typing.get('10').keys()], ['2'])
  assert.equal(play(state, ['MESSAGE_CREATE', message(101)]).typing.get('10').size, 0)
  state = play(state, { type: 'typing-expired', now: 5_000 })
  assert.equal(state.typing.get('10').size, 1)
  assert.equal(play(state, { type: 'typing-expired', now: 20_000 }).typing.size, 0)
})

test('a new session forgets what may have changed, but not the channel that is shown', () => {
  let state = play(world(), loaded([message(101)]), { ...loaded([]), channelId: '11' })
  state = play(state, { type: 'histories-stale', except: '10' })
  assert.deepEqual([...state.histories.keys()], ['10'])
})

test('notices with one id replace each other, and go when they are withdrawn', () => {
  const post = (title) => ({ type: 'notice-posted', notice: { id: 'x', title } })
  const state = play(world(), post('a'), post('b'))
  assert.deepEqual(state.notices.map((notice) => notice.title), ['b'])
  assert.equal(play(state, { type: 'notice-withdrawn', id: 'x' }).notices.length, 0)
})

test('what changes nothing leaves the state as it is', () => {
  const state = play(world(), loaded([message(101)]))
  for (const action of [['MESSAGE_DELETE', { id: '7', channel_id: '10' }], ['SOMETHING_NEW', {}], { type: 'draft-removed', nonce: 'x' }]) {
    assert.equal(play(state, action), state)
  }
})

const at = (channelId, load, messages, more = {}) => ({ ...loaded(messages), channelId, load, ...more })
const loading = (mode, load) => ({ type: 'history-loading', channelId: '10', mode, load })

test('histories: the answer to a load that another one has followed comes too late', () => {
  const around = [loading('around', 1), at('10', 1, [message(50), message(51)], { mode: 'around', around: '50', reachesEnd: false })]
  const state = play(world(...around), loading('older', 2), loading('latest', 3), at('10', 3, [message(900)]))
  const late = play(state, at('10', 2, [message(40)], { mode: 'older' }))
  assert.deepEqual(ids(late), ['900']) // else there would be a hole between 40 and 900
  assert.equal(play(state, { type: 'history-failed', channelId: '10', load: 2 }).histories.get('10').loading, null)
})

test('histories: what is edited or deleted while a page is loaded is not shown as it was before', () => {
  const edited = ['MESSAGE_UPDATE', message(5, BOB, { content: 'new', edited_timestamp: '2024-01-02T12:00:00Z' })]
  const state = play(world(loading('latest', 1)), edited, ['MESSAGE_DELETE', { id: '6', channel_id: '10' }], at('10', 1, [message(5), message(6), message(7)]))
  assert.deepEqual(state.histories.get('10').messages.map((one) => [one.id, one.content]), [['5', 'new'], ['7', 'text 7']])
  assert.deepEqual(state.histories.get('10').missed, [])
})

test('directory: names turn nothing around, have one line, and can be seen', () => {
  const name = (given) => play(world(), ['CHANNEL_CREATE', { id: '12', type: 0, guild_id: '5', name: given }]).channels.get('12').name
  assert.equal(name('\u202eevil\u2066 \n name'), 'evil name')
  for (const invisible of ['\u200b\u200b', ' ', '\u3164', '\u2800\u00a0']) assert.equal(name(invisible), '(no name)')
  assert.equal(name('שלום 👩‍👩‍👧'), 'שלום 👩‍👩‍👧')
  const guild = play(world(), ['GUILD_UPDATE', { id: '5', name: '\u202edrawkcab', owner_id: '1' }]).guilds.get('5')
  assert.equal(guild.name, 'drawkcab')
})

test('histories: a message that comes while the page is loaded anew is not lost with the old one', () => {
  const before = world(loading('latest', 1), at('10', 1, [message(5)]))
  const state = play(before, loading('latest', 2), ['MESSAGE_CREATE', message(6)], { type: 'message-stored', message: message(7, ADA) }, at('10', 2, [message(5)]))
  assert.deepEqual(ids(state), ['5', '6', '7'])
})

test('presences that come together are applied together, after what came before them and before what holds others', () => {
  const buffer = new PresenceBuffer()
  assert.equal(buffer.take('MESSAGE_CREATE', message(1)), false)
  assert.equal(buffer.action(), null)
  for (const [id, status] of [['2', 'idle'], ['3', 'online'], ['2', 'dnd']]) assert.ok(buffer.take('PRESENCE_UPDATE', { user: { id }, status }))
  assert.deepEqual(['MESSAGE_CREATE', 'GUILD_CREATE', 'GUILD_MEMBERS_CHUNK', 'READY'].map((name) => buffer.precedes(name)), [false, true, true, true])
  const before = world()
  const state = play(before, buffer.action())
  assert.deepEqual([...state.presences], [['2', 'dnd'], ['3', 'online']])
  assert.equal(before.presences.get('2'), 'online') // a copy was changed
  assert.deepEqual([buffer.action(), buffer.precedes('READY')], [null, false])
})

test('READY promises guilds: they are awaited until each has come, is gone, or has an outage', () => {
  const ready = (...guilds) => ['READY', { user: ADA, guilds: guilds.map((id) => ({ id })) }]
  let state = world(ready('5', '6', '7'))
  assert.deepEqual([...state.awaited.keys()], ['5', '6', '7'])
  state = play(state, ['GUILD_CREATE', { id: '5', name: 'five' }], ['GUILD_DELETE', { id: '6', unavailable: true }], ['GUILD_DELETE', { id: '7' }])
  assert.equal(state.awaited.size, 0)
  assert.equal(play(state, ['GUILD_DELETE', { id: '6', unavailable: true }]), state)
})

test('what is new elsewhere is told apart from what is new in the channel that is shown', () => {
  let state = play(world({ type: 'channel-opened', channelId: '10' }), ['MESSAGE_CREATE', message(101, BOB, { mentions: [ADA] })])
  assert.deepEqual(attentionElsewhere(state), { mentions: 0, isUnread: false })
  state = play(state, ['MESSAGE_CREATE', message(102, BOB, { channel_id: '11' })])
  assert.deepEqual(attentionElsewhere(state), { mentions: 0, isUnread: true })
  state = play(state, ['MESSAGE_CREATE', message(103, BOB, { channel_id: '20' })])
  assert.deepEqual(attentionElsewhere(state), { mentions: 1, isUnread: true })
})
