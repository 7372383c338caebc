// The whole state, and the function that derives the next one from an action: no I/O, no DOM, no clock.

import { reduceAttention } from './attention.js'
import { reduceDirectory } from './directory.js'
import { reduceHistories } from './histories.js'
import { reduceModeration } from './moderation.js'
import { reduceOutbox } from './outbox.js'
import { reduceShell } from './shell.js'

/** The state before signing in. */
export function initialState() {
  return {
    me: null,
    isReady: false, // READY has come at least once
    // Who and what there is.
    guilds: new Map(),
    awaited: new Map(), // id of a guild that READY promised, and that has not come -> true
    channels: new Map(),
    users: new Map(),
    members: new Map(), // guild id -> Map of user id -> member
    presences: new Map(), // user id -> status
    blocked: new Map(), // user id -> true
    // Messages.
    histories: new Map(), // channel id -> history
    outbox: [], // drafts, in the order they were written
    // What asks for attention.
    readStates: new Map(), // channel id -> id of the last message that was read
    unread: new Map(), // channel id -> number of messages that came since, as far as it is known
    mentions: new Map(), // channel id -> number of those that mention me
    mentionIds: new Map(), // channel id -> Set of the ids of those of them that came since READY, and may be deleted
    typing: new Map(), // channel id -> Map of user id -> time (ms) until which the indicator is shown
    divider: new Map(), // channel id -> id of the last message above the unread divider
    // The page itself.
    view: { channelId: null, messageId: null },
    connection: { state: 'connecting', retryAt: null, reason: null },
    timeline: [],
    notices: [],
    search: null,
  }
}

const PARTS = [reduceDirectory, reduceModeration, reduceHistories, reduceOutbox, reduceAttention, reduceShell]

/** The state after `action`; the same object if nothing has changed. */
export function reduce(state, action) {
  let next = state
  for (const part of PARTS) {
    const changes = part(next, action)
    if (changes) next = { ...next, ...changes }
  }
  return next
}
