// What the tests of the page's modules share.

import { reduce, initialState } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/state/reducer.js'

export const ASSETS = '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets'

export const ADA = { id: '1', username: 'ada' }
export const BOB = { id: '2', username: 'bob' }

export function message(id, author = BOB, more = {}) {
  return { id: String(id), channel_id: '10', author, content: `text ${id}`, timestamp: new Date(1_700_000_000_000 + Number(id)).toISOString(), edited_timestamp: null, ...more }
}

/** The state after READY and one guild, and after further actions; a dispatch is `[name, data]`. */
export function world(...actions) {
  const ready = { user: ADA, guilds: [{ id: '5' }], private_channels: [{ id: '20', type: 1, recipients: [BOB], last_message_id: null }], read_states: [{ id: '10', last_message_id: '100', mention_count: 0 }] }
  const guild = {
    id: '5', name: 'guild', owner_id: '1', member_count: 2, large: false,
    channels: [{ id: '10', type: 0, name: 'general', last_message_id: '100' }, { id: '11', type: 0, name: 'other', last_message_id: null }],
    members: [{ user: ADA }, { user: BOB }], presences: [{ user: { id: '2' }, status: 'online' }],
  }
  return play(initialState(), ['READY', ready], ['GUILD_CREATE', guild], ...actions)
}

export function play(state, ...actions) {
  for (const action of actions) {
    state = reduce(state, Array.isArray(action) ? { type: 'dispatch', name: action[0], data: action[1], now: 1_000 } : action)
  }
  return state
}

export function loaded(messages, more = {}) {
  return { type: 'history-loaded', channelId: '10', mode: 'latest', messages, limit: 50, around: null, reachesEnd: true, ...more }
}

export const ids = (state, channelId = '10') => state.histories.get(channelId).messages.map((one) => one.id)
