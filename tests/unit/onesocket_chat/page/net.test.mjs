import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Api, ApiError } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/net/api.js'
import { Sender } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/net/sender.js'
import { forgetAccount, writeValue } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/net/storage.js'
import { Store } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/state/store.js'
import { ADA, message, world } from './support.mjs'

const answering = (status, text) => async () => new Response(text, { status })

test('an answer that breaks off, or is no JSON, is an error that may pass, and no empty answer', async () => {
  for (const text of ['[{"id": "1"', '<html>Sign in to this network</html>', '']) {
    await assert.rejects(new Api('t', { fetch: answering(200, text) }).get('/x'), (error) => error.name === 'ApiError' && error.retryable)
  }
  await assert.rejects(new Api('t', { fetch: answering(502, '<html>') }).get('/x'), /has a problem/)
  assert.equal(await new Api('t', { fetch: async () => new Response(null, { status: 204 }) }).get('/x'), null)
})

/** A sender with a connection, of whose requests `post` decides. */
function sending(post) {
  const store = new Store({ state: world(), schedule: (callback) => queueMicrotask(callback) })
  const sender = new Sender({ store, api: { post, request: (_method, path, body) => post(path, body) }, userId: ADA.id })
  sender.connected(true)
  const isGone = new Promise((done) => store.subscribe((state) => state.outbox.length === 0 && done()))
  const hasFailed = new Promise((done) => store.subscribe((state) => state.outbox[0]?.state === 'failed' && done(state.outbox[0])))
  return { sender, store, isGone, hasFailed }
}

test('a file that can not be read any more fails with its name, instead of waiting for the network', async () => {
  const api = new Api('t', { fetch: async () => Promise.reject(new TypeError('Failed to fetch')) })
  const { sender, hasFailed } = sending((path, body) => api.request('POST', path, body))
  const gone = new File(['x'], 'gone.txt')
  let reads = 0
  gone.slice = () => ({ arrayBuffer: async () => (reads += 1) > 1 && Promise.reject(new DOMException('gone', 'NotFoundError')) })
  sender.send({ channelId: '10', content: 'with a file', files: [new File(['x'], 'there.txt'), gone] })
  assert.equal((await hasFailed).error, 'gone.txt can’t be read any more. Choose it again.')
})

test('a file that can not be read any more fails before a request, which Firefox never ends', async () => {
  const { sender, hasFailed } = sending(() => new Promise(() => {}))
  const gone = new File(['x'], 'gone.txt')
  gone.slice = () => ({ arrayBuffer: async () => Promise.reject(new DOMException('gone', 'NotFoundError')) })
  sender.send({ channelId: '10', content: 'with a file', files: [gone] })
  assert.equal((await hasFailed).error, 'gone.txt can’t be read any more. Choose it again.')
})

test('where locks are refused, as without storage, messages are sent all the same', async (context) => {
  const denied = { request: async () => Promise.reject(new DOMException('denied', 'SecurityError')) }
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator')
  Object.defineProperty(globalThis, 'navigator', { value: { locks: denied }, configurable: true })
  context.after(() => Object.defineProperty(globalThis, 'navigator', before))
  const { sender, isGone } = sending(async () => message(700, ADA))
  sender.send({ channelId: '10', content: 'hello' })
  await isGone
})

test('a change is told although the page is hidden before its next frame', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  globalThis.document = { visibilityState: 'visible' }
  globalThis.requestAnimationFrame = () => {} // never
  context.after(() => {
    delete globalThis.document
    delete globalThis.requestAnimationFrame
  })
  const store = new Store({ state: world() })
  let told = 0
  store.subscribe(() => (told += 1))
  store.dispatch({ type: 'notice-posted', notice: { id: 'n', kind: 'info' } })
  context.mock.timers.tick(1_000)
  assert.equal(told, 1)
})

test('a server, or a proxy before it, that has to be waited for is asked no sooner; the message stays, and its order', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  const tooMany = (headers, body) => () => new Response(body, { status: 429, headers })
  const answers = [tooMany({ 'Retry-After': '40' }, '<html>'), tooMany({}, '{"retry_after": 30}'), tooMany({ 'Retry-After': '2' }, '{}')]
  const posted = []
  const fetch = async (_path, { body }) => {
    posted.push(JSON.parse(body).content)
    return answers.shift()?.() ?? new Response(JSON.stringify(message(700 + posted.length, ADA, { nonce: JSON.parse(body).nonce })))
  }
  const api = new Api('t', { fetch })
  const { sender, isGone, store } = sending((path, body) => api.request('POST', path, body))
  sender.send({ channelId: '10', content: 'one' })
  sender.send({ channelId: '10', content: 'two' })
  const until = async (count) => {
    for (let turns = 0; turns < 200 && posted.length < count; turns += 1) await new Promise((done) => setImmediate(done))
    for (let turns = 0; turns < 20; turns += 1) await new Promise((done) => setImmediate(done))
    assert.equal(posted.length, count)
  }
  await until(1)
  assert.deepEqual(store.state.outbox.map(({ state, error }) => [state, error]), [['waiting', 'The server takes more in 40 seconds.'], ['waiting', null]])
  context.mock.timers.tick(39_000)
  sender.wake() // the network is back, which changes nothing
  await until(1)
  context.mock.timers.tick(1_000)
  await until(2)
  context.mock.timers.tick(30_000)
  await until(3)
  context.mock.timers.tick(3_000) // the short one is waited out by the request itself
  await isGone
  assert.deepEqual(posted, ['one', 'one', 'one', 'one', 'two'])
})

const turns = async (count = 20) => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((done) => setImmediate(done))
}

/** A sender whose server takes no more for 40 seconds after each try. */
function limited(context) {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  const posted = []
  const world = sending(async (_path, { content }) => {
    posted.push(content)
    throw new ApiError('Too many tries.', { status: 429, retryAfter: 40 })
  })
  context.after(() => world.sender.close()) // which else keeps the lock of its channel
  world.sender.send({ channelId: '10', content: 'one' })
  world.sender.send({ channelId: '10', content: 'two' })
  return { ...world, posted, nonceOf: (at) => world.store.state.outbox[at].nonce }
}

test('a message that the server does not take yet waits for the connection while there is none', async (context) => {
  const { sender, store, posted } = limited(context)
  const told = () => store.state.outbox.map(({ error }) => error)
  await turns()
  sender.connected(false)
  assert.deepEqual(told(), [null, null])
  context.mock.timers.tick(15_000)
  sender.connected(true)
  assert.deepEqual(told(), ['The server takes more in 25 seconds.', null])
  sender.connected(false)
  context.mock.timers.tick(30_000)
  await turns()
  assert.deepEqual([posted, told()], [['one'], [null, null]])
  sender.connected(true)
  await turns()
  assert.deepEqual([posted, told()], [['one', 'one'], ['The server takes more in 40 seconds.', null]])
})

test('a message that another tab has sent meanwhile is not kept anew, nor sent, when the connection comes', async () => {
  const sent = { nonce: 'n1', channelId: '10', content: 'two', replyTo: null, after: null, fileNames: [], at: Date.now(), state: 'waiting', firstSentAt: null, error: 'The server takes more in 40 seconds.' }
  forgetAccount(ADA.id) // what other tests have left
  writeValue(`outbox.${ADA.id}.n1`, sent)
  const posted = []
  const store = new Store({ state: world(), schedule: (callback) => queueMicrotask(callback) })
  const sender = new Sender({ store, api: { post: async (...call) => (posted.push(call), message(700, ADA)) }, userId: ADA.id })
  sender.restore()
  writeValue(`outbox.${ADA.id}.n1`, null) // the other tab has an answer
  sender.connected(true)
  await turns()
  assert.deepEqual([posted, store.state.outbox], [[], []])
})

test('a message that the server does not take yet can be discarded, and the next one still waits as long as it asked for', async (context) => {
  const { sender, store, posted, nonceOf } = limited(context)
  await turns()
  assert.equal(sender.discard(nonceOf(0)).content, 'one')
  await turns()
  assert.deepEqual([posted, store.state.outbox.map(({ content, error }) => [content, error])], [['one'], [['two', 'The server takes more in 40 seconds.']]])
  context.mock.timers.tick(39_000)
  await turns()
  assert.deepEqual(posted, ['one'])
  context.mock.timers.tick(1_001)
  await turns()
  assert.deepEqual(posted, ['one', 'two'])
})

test('a message that another tab discards while the server takes none is not sent here', async (context) => {
  const { sender, store, posted, nonceOf } = limited(context)
  await turns()
  writeValue(`outbox.${ADA.id}.${nonceOf(0)}`, null) // by another tab
  sender.discard(nonceOf(1))
  context.mock.timers.tick(41_000)
  await turns()
  assert.deepEqual([posted, store.state.outbox], [['one'], []])
})

test('a page that is left sends nothing after a pause', async (context) => {
  const { sender, posted } = limited(context)
  await turns()
  sender.close()
  context.mock.timers.tick(50_000)
  await turns()
  assert.deepEqual(posted, ['one'])
})

test('a message whose files this page still has is sent when the browser brings the page back; else it asks for them', async () => {
  forgetAccount(ADA.id) // what other tests have left
  const ends = []
  const before = sending(() => new Promise((_, reject) => ends.push(() => reject(new ApiError('The server can’t be reached.')))))
  before.sender.send({ channelId: '10', content: 'a', files: [new File(['x'], 'kept.txt')] })
  before.sender.send({ channelId: '11', content: 'b', files: [new File(['x'], 'lost.txt')] })
  await turns()
  before.sender.close()
  const [kept] = before.store.state.outbox
  for (const end of ends) end()
  const posted = []
  const { sender, hasFailed } = sending(async (_path, form) => (posted.push(form.get('files[0]').name), message(700, ADA)))
  sender.restore(new Map([[kept.nonce, kept.files]]))
  assert.match((await hasFailed).error, /were not kept/)
  await turns()
  assert.deepEqual(posted, ['kept.txt'])
})

test('a server that takes no more for months is left alone, and the message waits no longer than any other', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  let posts = 0
  const { sender, store, hasFailed } = sending(async () => {
    posts += 1
    throw new ApiError('Too many tries.', { status: 429, retryAfter: 90 * 86_400 }) // more than a timer can wait
  })
  sender.send({ channelId: '10', content: 'in a while' })
  while (!store.state.outbox[0].error) await new Promise((done) => setImmediate(done))
  context.mock.timers.tick(60_000)
  for (let turns = 0; turns < 20; turns += 1) await new Promise((done) => setImmediate(done))
  assert.deepEqual([posts, store.state.outbox[0].state], [1, 'waiting'])
  context.mock.timers.tick(30 * 60_000)
  assert.equal((await hasFailed).error, 'It waited too long. Send it again?')
  assert.equal(posts, 1)
})

test('a message that found no network is tried again as soon as it is back', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let isOnline = false
  const { sender, isGone, store } = sending(async () => {
    if (!isOnline) throw new ApiError('The server can’t be reached.')
    return message(700, ADA)
  })
  const isWaiting = new Promise((done) => store.subscribe((state) => state.outbox[0]?.state === 'waiting' && state.outbox[0].firstSentAt && done()))
  sender.send({ channelId: '10', content: 'hello' })
  await isWaiting
  isOnline = true
  sender.wake()
  await isGone
})

test('a request that is not wanted any more is cancelled, and is no failure', async () => {
  const controller = new AbortController()
  const fetch = (_path, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  const asked = new Api('t', { fetch }).get('/x', { signal: controller.signal })
  controller.abort()
  await assert.rejects(asked, (error) => error.isCancelled)
})

test('a request that is cancelled while it waits out a rate limit ends at once, and asks no more', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] }) // which never fire
  const controller = new AbortController()
  let asked = 0
  const fetch = async () => new Response('{"retry_after": 10}', { status: (asked += 1) && 429 })
  const answer = new Api('t', { fetch }).get('/x', { signal: controller.signal })
  await turns()
  controller.abort()
  await assert.rejects(answer, (error) => error.isCancelled)
  assert.equal(asked, 1)
})

test('a request is given up after its time, in a browser without AbortSignal.any(), too', async () => {
  const { any } = AbortSignal
  delete AbortSignal.any
  try {
    const fetch = (_path, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const asked = new Api('t', { fetch }).get('/x', { signal: new AbortController().signal, timeout: 1 })
    await assert.rejects(asked, /did not answer in time/)
  } finally {
    AbortSignal.any = any
  }
})
