import assert from 'node:assert/strict'
import { test } from 'node:test'
import { State } from '../../../../packages/onesocket-js/src/index.js'
import { Connection } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/net/connection.js'
import makeClient, { makeSnapshot, SNAPSHOT } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/net/feed.js'
import { ADA, BOB, message } from './support.mjs'

/** A WebSocket that does what the test says. */
class FakeSocket extends EventTarget {
  static all = []
  readyState = 0
  bufferedAmount = 0
  sent = []

  constructor(url) {
    super()
    this.url = url
    FakeSocket.all.push(this)
  }

  #fire(name, more = {}) {
    const event = Object.assign(new Event(name), more)
    this[`on${name}`]?.(event)
    this.dispatchEvent(event)
  }

  open(interval = 40_000) {
    this.readyState = 1
    this.#fire('open')
    this.receive(10, { heartbeat_interval: interval })
  }

  receive(op, d, t = null, s = null) {
    this.#fire('message', { data: JSON.stringify({ op, d, s, t }) })
  }

  send(text) {
    this.sent.push(JSON.parse(text))
  }

  close(code) {
    this.closedWith = code
    this.readyState = 2
  }

  lose(code = 1006, reason = '') {
    this.readyState = 3
    this.#fire('close', { code, reason, wasClean: code !== 1006 })
  }
}

const settled = () => new Promise((done) => setImmediate(done))

async function until(isTrue) {
  while (!isTrue()) await new Promise((done) => setTimeout(done))
}

const READY = { session_id: 's1', resume_gateway_url: 'ws://here/', user: ADA, guilds: [{ id: '5' }], private_channels: [], read_states: [] }
const GUILD = {
  id: '5', name: 'guild', owner_id: '1', member_count: 2, large: false, presences: [],
  channels: [{ id: '10', type: 0, name: 'general', last_message_id: null }], members: [{ user: ADA }, { user: BOB }],
}

async function setUp(context, more = {}) {
  FakeSocket.all = []
  globalThis.location ??= { protocol: 'http:', host: 'here' }
  const states = []
  const events = []
  const gaps = []
  const connection = new Connection({
    makeClient: ({ token, onError }) => makeClient(token, { onError, WebSocket: FakeSocket }),
    token: 'secret', now: () => 0,
    onDispatch: (name, data) => events.push([name, data]),
    onSnapshot: (parts) => events.push([SNAPSHOT, parts]),
    onGap: () => gaps.push(true),
    onRefused: () => {},
    onState: (state) => states.push(state),
    ...more,
  })
  context.after(async () => {
    const isClosed = connection.close()
    await settled()
    for (const socket of FakeSocket.all) if (socket.readyState < 3) socket.lose(1000) // the server's answer
    await isClosed
  })
  connection.connect()
  await settled()
  return { connection, states, events, gaps, last: () => FakeSocket.all.at(-1), names: () => states.map((one) => one.state) }
}

async function ready(socket, seq = 1) {
  socket.open()
  await settled()
  socket.receive(0, READY, 'READY', seq)
  await settled()
}

test('connect() joins: one socket however often it is called, and the token is in no address', async (context) => {
  const { connection, last, names } = await setUp(context)
  connection.connect()
  await ready(last())
  connection.connect()
  await settled()
  assert.equal(FakeSocket.all.length, 1)
  assert.ok(!last().url.includes('secret'))
  assert.deepEqual([last().sent[0].op, last().sent[0].d.token], [2, 'secret'])
  assert.deepEqual(names(), ['connecting', 'connected'])
})

test('it is connected once READY has been handled, not before', async (context) => {
  const order = []
  const { last } = await setUp(context, { onDispatch: (name) => order.push(name), onState: ({ state }) => order.push(state) })
  await ready(last())
  assert.deepEqual(order, ['connecting', 'READY', 'connected'])
})

const found = (states, state) => states.find((one) => one.state === state)

test('a lost connection is resumed', async (context) => {
  const { last, states, events } = await setUp(context)
  await ready(last())
  last().receive(0, message('7'), 'MESSAGE_CREATE', 7)
  last().lose()
  await until(() => FakeSocket.all.length === 2)
  assert.equal(found(states, 'waiting').reason, 'The connection was lost.')
  assert.ok(found(states, 'waiting').retryAt >= 0)
  last().open()
  await settled()
  assert.deepEqual(last().sent[0], { op: 6, d: { token: 'secret', session_id: 's1', seq: 7 } })
  last().receive(0, {}, 'RESUMED', 8)
  await settled()
  assert.deepEqual([states.at(-1).state, states.at(-1).isResumed], ['connected', true])
  assert.deepEqual(events.map(([name]) => name), ['READY', 'MESSAGE_CREATE', 'RESUMED'])
})

test('a server that can not be reached is tried again, and at once when the network is back', async (context) => {
  const { connection, last, states } = await setUp(context)
  last().lose()
  await until(() => FakeSocket.all.length === 2) // the first time without a pause
  assert.equal(found(states, 'waiting').reason, 'The server can’t be reached.')
  last().lose()
  await until(() => states.filter((one) => one.state === 'waiting').length === 2)
  connection.wake()
  await until(() => FakeSocket.all.length === 3)
})

test('a void token ends it, and the server is not asked again with it', async (context) => {
  let refused = 0
  const { last, states } = await setUp(context, { onRefused: () => (refused += 1) })
  await ready(last())
  last().lose(4004)
  await until(() => states.at(-1).state === 'ended')
  assert.equal(refused, 1)
  assert.deepEqual([states.at(-1).state, states.at(-1).reason], ['ended', 'signed-out'])
  assert.equal(FakeSocket.all.length, 1)
})

test('while the password is changed a void token is replaced, and nobody is signed out', async (context) => {
  let changed = null
  let isAsked = false
  const { last, states } = await setUp(context, { beforeToken: () => ((isAsked = changed !== null), changed) })
  await ready(last())
  changed = new Promise(() => {})
  last().lose(4004)
  await until(() => isAsked)
  await settled()
  assert.deepEqual([states.at(-1).state, FakeSocket.all.length], ['connecting', 1])
})

test('what the server refuses for good is not tried again', async (context) => {
  const { last, states } = await setUp(context)
  last().open()
  await settled()
  last().lose(4013)
  await settled()
  assert.deepEqual([states.at(-1).state, states.at(-1).reason], ['ended', 'refused'])
})

test('members are asked for', async (context) => {
  const { connection, last } = await setUp(context)
  await ready(last())
  await connection.requestMembers('5')
  assert.deepEqual(last().sent.at(-1), { op: 8, d: { guild_id: '5', query: '', limit: 0, presences: true } })
})

test('a message that can not be read is a gap, and the connection goes on', async (context) => {
  const { last, gaps, states } = await setUp(context)
  await ready(last())
  last().dispatchEvent(Object.assign(new Event('message'), { data: 'no JSON' }))
  last().onmessage?.({ data: 'no JSON' })
  await settled()
  assert.ok(gaps.length >= 1)
  assert.equal(states.at(-1).state, 'connected')
})

test('nothing is told after close()', async (context) => {
  const { connection, last, states } = await setUp(context)
  await ready(last())
  const count = states.length
  connection.close()
  await settled()
  assert.equal(states.length, count)
  assert.equal(last().closedWith, 1000)
})

test('a late tab begins with what READY and all that came since have told', () => {
  const snapshot = makeSnapshot(() => 0)
  assert.deepEqual(snapshot.messages(), []) // READY has not come
  snapshot.update({ event: 'READY', data: READY })
  snapshot.update({ event: 'GUILD_CREATE', data: GUILD })
  snapshot.update({ event: 'MESSAGE_CREATE', data: message('100', BOB, { mentions: [ADA] }) })
  snapshot.update({ event: 'RELATIONSHIP_ADD', data: { id: '2', type: 2 } })
  snapshot.update({ event: 'CHANNEL_CREATE', data: { id: '11', type: 0, guild_id: '5', name: 'late' } })
  const [{ event, data }] = structuredClone(snapshot.messages())
  assert.equal(event, SNAPSHOT)
  assert.deepEqual([data.me.username, data.isReady], ['ada', true])
  assert.deepEqual([...data.channels.keys()], ['10', '11'])
  assert.equal(data.channels.get('10').lastMessageId, '100')
  assert.deepEqual([data.mentions.get('10'), data.unread.get('10')], [1, 1])
  assert.deepEqual([...data.members.get('5').keys()], ['1', '2'])
  assert.deepEqual([...data.blocked.keys()], ['2'])
  assert.ok(!('histories' in data) && !('outbox' in data) && !('view' in data)) // which are each tab's own
  // Presences wait until they are asked for, or until an event that holds newer ones.
  snapshot.update({ event: 'PRESENCE_UPDATE', data: { user: { id: '2' }, status: 'idle' } })
  assert.equal(snapshot.messages()[0].data.presences.get('2'), 'idle')
  snapshot.update({ event: 'PRESENCE_UPDATE', data: { user: { id: '2' }, status: 'dnd' } })
  snapshot.update({ event: 'GUILD_CREATE', data: { ...GUILD, presences: [{ user: { id: '2' }, status: 'online' }] } })
  assert.equal(snapshot.messages()[0].data.presences.get('2'), 'online')
  snapshot.reset()
  assert.deepEqual(snapshot.messages(), [])
})

/** A client that tabs share, of whose owner the test decides. */
class FakeShared {
  calls = []
  readers = []
  state = State.CONNECTED

  on(...parameters) {
    const event = typeof parameters[0] === 'string' ? parameters.shift() : null
    const reader = { event, call: parameters[0] }
    this.readers.push(reader)
    return () => this.readers.splice(this.readers.indexOf(reader), 1)
  }

  onChange(watcher) {
    this.change = (next, more = {}) => {
      this.state = next
      watcher({ new: next, error: null, cause: 'Opened', ...more })
    }
  }

  async connect() {
    this.calls.push('connect')
    if (this.refusal) throw this.refusal
  }

  async close() {}

  get isConnected() {
    return this.state === State.CONNECTED
  }

  get status() {
    return { retryIn: null }
  }
}

const shared = { event: SNAPSHOT, sequence: null, data: { me: ADA } }

test('a snapshot counts as READY; without a connection it is shown, and the connection waited for', async (context) => {
  const client = new FakeShared()
  const { states, events } = await setUp(context, { makeClient: () => client })
  const [{ call: take }] = client.readers
  take(shared)
  assert.deepEqual([states.at(-1).state, states.at(-1).isResumed], ['connected', false])
  assert.deepEqual(events, [[SNAPSHOT, { me: ADA }]])
  client.state = State.BACKING_OFF
  take(shared)
  assert.equal(states.length, 1)
})

test('a tab that finds the next owner connected already asks it for its snapshot, as READY was not for this tab', async (context) => {
  const client = new FakeShared()
  const { states } = await setUp(context, { makeClient: () => client })
  client.readers[0].call(shared)
  client.change(State.BACKING_OFF, { cause: 'OwnerLost', error: new Error('gone') })
  client.change(State.CONNECTED, { cause: 'OwnerFound' })
  assert.equal(states.at(-1).state, 'waiting')
  assert.deepEqual(client.readers.map((one) => one.event), [null, SNAPSHOT])
  client.readers[1].call(shared)
  assert.equal(states.at(-1).state, 'connected')
  client.change(State.CONNECTING)
  assert.equal(client.readers.length, 1)
})

test('a tab that may not share says so, and tries again', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const client = Object.assign(new FakeShared(), { state: State.DISCONNECTED, refusal: Object.assign(new Error('no locks'), { name: 'UsageError' }) })
  const { states } = await setUp(context, { makeClient: () => client })
  assert.deepEqual([states.at(-1).state, states.at(-1).reason], ['waiting', 'The browser does not let this tab share a connection.'])
  context.mock.timers.tick(20_000)
  assert.equal(client.calls.length, 2)
})

test('when the network may have changed a dead connection is noticed in seconds, and one that answers stays', async (context) => {
  const { connection, last, names, states } = await setUp(context)
  await ready(last())
  const socket = last()
  const beats = () => socket.sent.filter(({ op }) => op === 1).length
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let clock = performance.now()
  const elapsed = context.mock.method(performance, 'now', () => clock)
  const pass = async (ms) => {
    clock += ms
    context.mock.timers.tick(ms)
    await settled()
  }
  connection.probe()
  await settled()
  assert.equal(beats(), 1)
  socket.receive(11, null)
  await pass(5_000)
  assert.equal(connection.state, 'connected')
  connection.wake()
  connection.probe() // one is under way
  await settled()
  const asked = beats()
  await pass(3_900)
  assert.equal(connection.state, 'connected')
  await pass(200)
  assert.equal(connection.state, 'connecting')
  await pass(1_100) // a dead socket is given up
  assert.deepEqual([names().slice(2), beats()], [['connecting', 'waiting', 'connecting'], asked])
  assert.equal(found(states, 'waiting').reason, 'The server does not answer any more.')
  elapsed.mock.restore()
  context.mock.timers.reset()
})
