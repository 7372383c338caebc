// Messages that were written and are not known to be stored. A draft's nonce makes the server store it once.

/** Changes of the outbox; null: none. */
export function reduceOutbox(state, action) {
  switch (action.type) {
    case 'draft-added':
      return { outbox: [...state.outbox, action.draft] }
    case 'outbox-restored':
      return { outbox: [...action.drafts, ...state.outbox] }
    case 'draft-changed':
      return { outbox: state.outbox.map((draft) => (draft.nonce === action.nonce ? { ...draft, ...action.changes } : draft)) }
    case 'draft-removed':
      return without(state, action.nonce)
    case 'message-stored':
      return without(state, action.message.nonce)
    case 'history-loaded': {
      const nonces = new Set(action.messages.map((message) => message.nonce).filter(Boolean))
      const left = state.outbox.filter((draft) => !nonces.has(draft.nonce))
      return left.length < state.outbox.length ? { outbox: left } : null
    }
    case 'dispatch':
      if (action.name !== 'MESSAGE_CREATE' || action.data.author.id !== state.me?.id) return null
      return without(state, action.data.nonce)
    default:
      return null
  }
}

function without(state, nonce) {
  const left = state.outbox.filter((draft) => draft.nonce !== nonce)
  return left.length < state.outbox.length ? { outbox: left } : null
}
