// The page itself: what is shown, the connection, notices, the timeline and the search.

const TIMELINE_LENGTH = 300

/** Changes by an action; null: none. */
export function reduceShell(state, action) {
  switch (action.type) {
    case 'channel-opened':
      return { view: { channelId: action.channelId, messageId: action.messageId ?? null } }
    case 'channel-closed':
      return { view: { channelId: null, messageId: null } }
    case 'jump-done':
      return { view: { ...state.view, messageId: null } }
    case 'connection-changed':
      return { connection: action.connection, timeline: [...state.timeline, action.entry].slice(-TIMELINE_LENGTH) }
    case 'notice-posted':
      return { notices: [...state.notices.filter((notice) => notice.id !== action.notice.id), action.notice] }
    case 'notice-withdrawn': {
      const left = state.notices.filter((notice) => notice.id !== action.id)
      return left.length < state.notices.length ? { notices: left } : null
    }
    case 'search-changed':
      return { search: action.search }
    default:
      return null
  }
}
