import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Navigation } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/view/navigation.js'
import { world } from './support.mjs'

test('a channel that was just joined is opened when it comes, unless that takes so long that people do something else', (context) => {
  context.mock.timers.enable({ apis: ['Date'] })
  globalThis.location = { pathname: '/' }
  context.after(() => delete globalThis.location)
  const opened = []
  const store = { state: { ...world(), view: { channelId: '10', messageId: null } } }
  const navigation = new Navigation({ store }, { order: () => [], onArrived: () => {}, onWanted: (id) => opened.push(id) })
  const comes = (id) => {
    store.state = { ...store.state, channels: new Map(store.state.channels).set(id, { id, guildId: '5' }) }
    navigation.settle()
  }
  navigation.openOnceKnown('98')
  context.mock.timers.tick(9_000)
  comes('98')
  assert.deepEqual(opened, ['98'])
  navigation.openOnceKnown('99')
  context.mock.timers.tick(11_000)
  comes('99')
  assert.deepEqual(opened, ['98'])
})
