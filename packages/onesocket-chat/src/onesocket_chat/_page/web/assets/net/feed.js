// The gateway's client, and what tabs begin with that join late. This module is imported where the connection is: in the
// shared worker, in the leading tab, or, without a secure context, in each tab.

import { Client, Discord, ReconnectPolicy, SnapshotHook } from '../onesocket/index.js'
import { PresenceBuffer } from '../state/presence_buffer.js'
import { initialState, reduce } from '../state/reducer.js'

/** The event of the message that a late tab begins with; its data is a part of the page's state. */
export const SNAPSHOT = 'SNAPSHOT'

const INTENTS = [0, 1, 8, 9, 10, 11, 12, 13, 14, 15].reduce((bits, bit) => bits | (1 << bit), 0)
const HEARTBEAT = 10 // seconds; people notice a dead connection before Discord's 41
const RECONNECT = new ReconnectPolicy({ initial: 0.5, cap: 20, stableAfter: 5 })
/** The part of the state that is each tab's own; the rest follows from what the gateway sends. */
const OWN = new Set(['histories', 'outbox', 'typing', 'divider', 'view', 'connection', 'timeline', 'notices', 'search'])

/** Derives that part as each tab does, so that it holds what READY and all that came since have told. */
export function makeSnapshot(now = Date.now) {
  let state = initialState()
  const presences = new PresenceBuffer()
  const applyPresences = () => {
    const action = presences.action()
    if (action) state = reduce(state, action)
  }
  const toMessages = () => {
    applyPresences()
    const data = Object.fromEntries(Object.entries(state).filter(([name]) => !OWN.has(name)))
    return state.isReady ? [{ event: SNAPSHOT, sequence: null, data }] : []
  }
  return new SnapshotHook({
    messages: toMessages,
    update({ event, data }) {
      if (presences.take(event, data)) return
      if (presences.precedes(event)) applyPresences()
      state = reduce(state, { type: 'dispatch', name: event, data, now: now() })
    },
    reset() {
      presences.action()
      state = initialState()
    },
  })
}

/** Makes the client. `more`: options for tests. */
export default function makeClient(token, more = {}) {
  const { protocol, host } = globalThis.location
  return new Client(`${protocol === 'https:' ? 'wss' : 'ws'}://${host}/`, {
    token,
    protocol: new Discord({ intents: INTENTS, largeThreshold: 250, heartbeat: HEARTBEAT, snapshot: makeSnapshot() }),
    reconnect: RECONNECT,
    logger: null,
    ...more,
  })
}
