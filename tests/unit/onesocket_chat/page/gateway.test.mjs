import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { Gateway } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/net/gateway.js'

/** A WebSocket that does what the test says. */
class FakeSocket {
  static all = []
  readyState = 0
  sent = []

  constructor(url) {
    this.url = url
    FakeSocket.all.push(this)
  }

  open(interval = 40_000) {
    this.readyState = 1
    this.receive(10, { heartbeat_interval: interval })
  }

  receive(op, d, t = null, s = null) {
    this.onmessage?.({ data: JSON.stringify({ op, d, s, t }) })
  }

  send(text) {
    this.sent.push(JSON.parse(text))
  }

  close(code) {
    this.closedWith = code
    this.readyState = 2
  }

  lose(code = 1006) {
    this.readyState = 3
    this.onclose?.({ code })
  }
}

function setUp() {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout'] })
  FakeSocket.all = []
  const states = []
  const events = []
  const gateway = new Gateway({
    url: 'ws://here/', token: 'secret', WebSocket: FakeSocket, random: () => 0.5, now: () => 0,
    onDispatch: (name, data) => events.push([name, data]), onState: (change) => states.push(change),
  })
  gateway.connect()
  return { gateway, states, events, last: () => FakeSocket.all.at(-1), names: () => states.map((one) => one.state) }
}

function ready(socket, seq = 1) {
  socket.open()
  socket.receive(0, { session_id: 's1' }, 'READY', seq)
}

test('connect() joins: one socket however often it is called, and the token is in no address', () => {
  const { gateway, last, names } = setUp()
  gateway.connect()
  ready(last())
  gateway.connect()
  assert.equal(FakeSocket.all.length, 1)
  assert.ok(!last().url.includes('secret'))
  assert.equal(last().sent[0].op, 2)
  assert.deepEqual(names(), ['connecting', 'connected'])
})

test('a lost connection is resumed with the last number', () => {
  const { last, states } = setUp()
  ready(last())
  last().receive(0, {}, 'MESSAGE_CREATE', 7)
  last().lose()
  assert.equal(states.at(-1).state, 'waiting')
  mock.timers.tick(1_000)
  last().open()
  assert.deepEqual(last().sent[0], { op: 6, d: { token: 'secret', session_id: 's1', seq: 7 } })
  last().receive(0, {}, 'RESUMED', 8)
  assert.deepEqual([states.at(-1).state, states.at(-1).isResumed], ['connected', true])
})

test('a session that is not known any more begins anew', () => {
  const { last } = setUp()
  ready(last())
  last().lose()
  mock.timers.tick(1_000)
  last().open()
  last().receive(9, false)
  mock.timers.tick(2_000)
  last().open()
  assert.equal(last().sent[0].op, 2)
})

test('what an earlier attempt still reports is ignored', () => {
  const { gateway, last, events, names } = setUp()
  ready(last())
  const old = last()
  old.receive(7, null)
  gateway.wake()
  ready(last())
  old.receive(0, {}, 'MESSAGE_CREATE', 99)
  old.lose()
  assert.deepEqual(names().at(-1), 'connected')
  assert.ok(!events.some(([name]) => name === 'MESSAGE_CREATE'))
})

test('a server that does not acknowledge is left, with a code that keeps the session', () => {
  const { last, names } = setUp()
  ready(last())
  mock.timers.tick(15_000)
  assert.ok(last().sent.some((one) => one.op === 1))
  mock.timers.tick(8_000)
  assert.deepEqual(names().at(-1), 'waiting')
  assert.equal(FakeSocket.all[0].closedWith, 4900)
})

test('frequent heartbeats do not put the verdict off', () => {
  const { last, names } = setUp()
  // In small steps: a timer that is set within a step counts from the end of it.
  const pass = (ms) => {
    for (let at = 0; at < ms; at += 50) mock.timers.tick(50)
  }
  last().open(500)
  last().receive(0, { session_id: 's1' }, 'READY', 1)
  pass(1_000)
  last().receive(11, null)
  pass(8_000)
  assert.deepEqual(names().at(-1), 'connected')
  pass(350)
  assert.deepEqual(names().at(-1), 'waiting')
})

test('a dial without an answer ends, and the pauses grow', () => {
  const { states } = setUp()
  const pauses = []
  for (let round = 0; round < 5; round += 1) {
    mock.timers.tick(10_000)
    pauses.push(states.at(-1).retryAt)
    mock.timers.tick(states.at(-1).retryAt)
  }
  assert.deepEqual(pauses, [375, 750, 1_500, 3_000, 6_000])
})

test('a refused token ends it for good', () => {
  const { last, states } = setUp()
  ready(last())
  last().lose(4004)
  mock.timers.tick(60_000)
  assert.deepEqual([states.at(-1).state, states.at(-1).reason, FakeSocket.all.length], ['ended', 'signed-out', 1])
})

test('closing ends the session, and nothing follows', () => {
  const { gateway, last, names } = setUp()
  ready(last())
  gateway.close()
  assert.equal(last().closedWith, 1000)
  last().lose()
  mock.timers.tick(60_000)
  assert.deepEqual([names().at(-1), FakeSocket.all.length], ['closed', 1])
})
