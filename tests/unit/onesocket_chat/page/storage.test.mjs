import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Store } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/state/store.js'
import { ADA, message, world } from './support.mjs'

const STORAGE = '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/net/storage.js'
const SENDER = STORAGE.replace('storage.js', 'sender.js')
let copies = 0

/** A storage of a browser; `isFull`: nothing more goes in. */
class FakeStorage {
  entries = new Map()
  isFull = false
  getItem = (key) => this.entries.get(key) ?? null
  removeItem = (key) => this.entries.delete(key)
  key = (index) => [...this.entries.keys()][index] ?? null
  get length() {
    return this.entries.size
  }
  setItem(key, value) {
    if (this.isFull) throw new DOMException('full', 'QuotaExceededError')
    this.entries.set(key, String(value))
  }
}

/** The module as a tab of a browser has it: its own session, and what all tabs share. */
async function tab(lasting, session = new FakeStorage()) {
  Object.assign(globalThis, { localStorage: lasting, sessionStorage: session })
  const module = await import(`${STORAGE}?tab=${(copies += 1)}`)
  delete globalThis.localStorage
  delete globalThis.sessionStorage
  return { ...module, session, reload: () => tab(lasting, session) }
}

/** A tab in which Ada has signed in, and what all tabs share. */
async function tabOfAda({ remember }) {
  const lasting = new FakeStorage()
  const one = await tab(lasting)
  one.login.set(account('ada'), { remember })
  one.login.use(account('ada'))
  return { lasting, one }
}

const account = (name) => ({ userId: name, token: `token of ${name}` })

test('each of two windows keeps its account across a reload, whoever signed in last; a new one takes the last', async () => {
  const lasting = new FakeStorage()
  const first = await tab(lasting)
  const second = await tab(lasting)
  first.login.set(account('ada'), { remember: true })
  first.login.use(account('ada'))
  second.login.set(account('bob'), { remember: true })
  second.login.use(account('bob'))
  assert.deepEqual((await first.reload()).login.get(), account('ada'))
  assert.deepEqual((await second.reload()).login.get(), account('bob'))
  assert.deepEqual((await tab(lasting)).login.get(), account('bob'))
  // One signs out: the other stays, and is what a new window shows.
  second.login.clear('token of bob')
  assert.equal(second.login.of('bob'), null)
  assert.deepEqual((await tab(lasting)).login.get(), account('ada'))
  first.login.clear('token of ada')
  assert.deepEqual([lasting.length, first.session.length, second.session.length], [0, 0, 0])
})

test('a login of one tab is nowhere else, and nor is what is written with it', async () => {
  const { lasting, one } = await tabOfAda({ remember: false })
  one.writeDraft('text.ada.10', 'half a thought')
  one.writeValue('outbox.ada.1', { content: 'waits' })
  assert.equal(lasting.length, 0)
  const again = await one.reload()
  again.login.use(again.login.get())
  assert.equal(again.readDraft('text.ada.10'), 'half a thought')
  assert.deepEqual(again.readValues('outbox.ada.'), [{ content: 'waits' }])
})

test('the message that a draft replies to is kept with it, and forgotten with it', async () => {
  const { lasting, one } = await tabOfAda({ remember: true })
  const reply = { id: '7', authorId: '2', authorName: 'bob', content: 'hello' }
  assert.equal(one.readReply('reply.ada.10'), null)
  one.writeReply('reply.ada.10', reply)
  const other = await tab(lasting)
  other.login.use(other.login.get())
  assert.deepEqual(other.readReply('reply.ada.10'), reply)
  const again = await one.reload()
  again.login.use(again.login.get())
  assert.deepEqual(again.readReply('reply.ada.10'), reply)
  again.writeReply('reply.ada.10', null)
  assert.equal((await again.reload()).readReply('reply.ada.10'), null)
  assert.equal(lasting.getItem('onesocket.reply.ada.10'), null)
  other.writeReply('reply.ada.11', reply)
  other.forgetAccount('ada')
  assert.equal(lasting.getItem('onesocket.reply.ada.11'), null)
})

test('a login that stays keeps drafts for other tabs, until the user signs out', async () => {
  const { lasting, one } = await tabOfAda({ remember: true })
  one.writeDraft('text.ada.10', 'half a thought')
  one.writeDraft('text.adam.10', 'of somebody else')
  one.writeValue('place.ada.last', { channelId: '10' })
  const other = await tab(lasting)
  other.login.use(other.login.get())
  assert.equal(other.readDraft('text.ada.10'), 'half a thought')
  one.login.clear('token of ada')
  one.forgetAccount('ada')
  const left = [...lasting.entries.keys(), ...one.session.entries.keys()]
  assert.deepEqual([...new Set(left)], ['onesocket.text.adam.10'])
})

test('with a full storage the login lasts as long as the page, or the tab', async () => {
  const lasting = new FakeStorage()
  const one = await tab(lasting)
  lasting.isFull = true
  assert.ok(one.login.set(account('ada'), { remember: true }))
  assert.deepEqual(one.login.get(), account('ada')) // for this tab
  one.session.isFull = true
  one.session.entries.clear()
  assert.ok(!one.login.set(account('ada'), { remember: true }))
  one.login.replace(account('ada'), { remember: true })
  one.writeDraft('text.ada.10', 'half a thought')
})

test('a message is sent although the browser has no room to keep it', async () => {
  const full = new FakeStorage()
  full.isFull = true
  Object.assign(globalThis, { localStorage: full, sessionStorage: full })
  const { Sender } = await import(SENDER) // its storage is that of the moment
  const store = new Store({ state: world(), schedule: (callback) => queueMicrotask(callback) })
  const posted = []
  const api = { post: async (_path, body) => (posted.push(body.content), message(700, ADA)) }
  const sender = new Sender({ store, api, userId: ADA.id })
  sender.connected(true)
  const isGone = new Promise((done) => store.subscribe((state) => state.outbox.length === 0 && done()))
  sender.send({ channelId: '10', content: 'hello' })
  await isGone
  assert.deepEqual(posted, ['hello'])
})

test('what is written for a channel that is gone is forgotten after 30 days, and not before', async () => {
  const DAY = 86_400_000
  const { lasting, one } = await tabOfAda({ remember: true })
  one.writeDraft('text.ada.10', 'there')
  one.writeDraft('text.ada.66', 'gone')
  one.writeValue('outbox.ada.n1', { channelId: '66', content: 'gone, too' })
  one.writeDraft('text.adam.66', 'of somebody else')
  const forget = (day, ...there) => one.forgetGone('ada', (id) => ['10', ...there].includes(id), day * DAY)
  const left = () => [...lasting.entries.keys()].filter((key) => /(text|outbox)/.test(key)).map((key) => key.replace('onesocket.', '')).sort()
  const all = ['outbox.ada.n1', 'text.ada.10', 'text.ada.66', 'text.adam.66']
  forget(100)
  forget(129)
  assert.deepEqual(left(), all)
  forget(131, '66') // an outage was over: it counts anew
  forget(132)
  forget(161)
  assert.deepEqual(left(), all)
  forget(162)
  assert.deepEqual(left(), ['text.ada.10', 'text.adam.66'])
  assert.equal(one.readDraft('text.ada.66'), '')
  assert.ok(![...lasting.entries.keys()].some((key) => key.includes('gone')))
})
