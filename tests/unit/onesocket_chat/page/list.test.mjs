import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Heights } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/list/heights.js'
import { rowsOf } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/list/rows.js'
import { messageOf } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/state/histories.js'
import { ADA, BOB, message } from './support.mjs'

test('heights: offsets and rows agree with plain sums', () => {
  let seed = 7
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647
  const plain = Array.from({ length: 300 }, () => Math.floor(random() * 90) + 1)
  const heights = new Heights(plain)
  for (let round = 0; round < 500; round += 1) {
    const index = Math.floor(random() * plain.length)
    plain[index] = Math.floor(random() * 90) + 1
    heights.set(index, plain[index])
    const at = Math.floor(random() * plain.length)
    const offset = plain.slice(0, at).reduce((sum, height) => sum + height, 0)
    assert.equal(heights.offset(at), offset)
    assert.equal(heights.indexAt(offset), at)
    assert.equal(heights.indexAt(offset + plain[at] - 1), at)
  }
  assert.equal(heights.indexAt(-5), 0)
  assert.equal(heights.indexAt(1e9), 299)
  assert.equal(new Heights([]).total, 0)
})

const MINUTE = 60_000
const at = (id, minutes, author = BOB, more = {}) => messageOf(message(id, author, { timestamp: new Date(2024, 0, 2, 12, minutes).toISOString(), ...more }))

test('rows: messages of one author within minutes are a group; days and what is new begin one', () => {
  const messages = [at(1, 0), at(2, 1), at(3, 2, ADA), at(4, 20, ADA), at(5, 21), at(6, 24 * 60)]
  const rows = rowsOf(messages, [], '4', ADA)
  assert.deepEqual(rows.map((row) => row.isGroupStart), [true, false, true, true, true, true])
  assert.deepEqual(rows.map((row) => row.day !== null), [true, false, false, false, false, true])
  assert.deepEqual(rows.map((row) => row.isUnreadStart), [false, false, false, false, true, false])
})

test('rows: what is new begins above the messages that are loaded, until older ones are there', () => {
  const messages = [at(5, 0), at(6, 1)]
  const starts = (all, more) => rowsOf(all, [], '4', ADA, new Map(), more).map((row) => row.isUnreadStart)
  assert.deepEqual(starts(messages, { hasOlder: true }), [false, false])
  assert.deepEqual(starts(messages, { hasOlder: false }), [true, false])
  assert.deepEqual(starts([at(4, 0), ...messages], { hasOlder: true }), [false, true, false])
})

test('rows: what has not changed is the same object', () => {
  const messages = [at(1, 0), at(2, 1)]
  const before = rowsOf(messages, [], null, ADA)
  const known = new Map(before.map((row) => [row.key, row]))
  const after = rowsOf([...messages, at(3, 2)], [], null, ADA, known)
  assert.equal(after[0], before[0])
  assert.equal(after[1], before[1])
  const edited = rowsOf([messages[0], { ...messages[1], content: 'x' }], [], null, ADA, known)
  assert.notEqual(edited[1], before[1])
})

test('rows: drafts are last, and continue the group of their author', () => {
  const draft = { nonce: 'n', channelId: '10', content: 'x', at: at(1, 0).timestamp + MINUTE, replyTo: null, fileNames: [] }
  const rows = rowsOf([at(1, 0, ADA)], [draft], null, ADA)
  assert.deepEqual(rows.map((row) => [row.key, row.isGroupStart]), [['1', true], ['draft-n', false]])
})

test('rows: a draft by a clock that is behind does not begin an earlier day', () => {
  const draft = { nonce: 'n', channelId: '10', content: 'x', at: at(1, 0).timestamp - 3 * 24 * 60 * MINUTE, replyTo: null, fileNames: [] }
  const rows = rowsOf([at(1, 0, ADA)], [draft], null, ADA)
  assert.deepEqual(rows.map((row) => row.day !== null), [true, false])
})
