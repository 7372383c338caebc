// The rows of a channel: its messages and drafts, with what stands above each.

import { isSameDay } from '../text/format.js'
import { isNewer } from '../state/ids.js'

const GROUP_MS = 7 * 60_000

/**
 * One row for each message and each draft: `{ key, message, draft, isGroupStart, day, isUnreadStart }`.
 *
 * `dividerId`: the last message that was read; null: no divider. `hasOlder`: there are older messages, so a divider above the
 * first of these may belong further up. `known`: the rows before, reused where nothing differs, so that they are drawn once.
 */
export function rowsOf(messages, drafts, dividerId, me, known = new Map(), { hasOlder = false } = {}) {
  const rows = []
  let before = null
  let isDividerSet = dividerId == null || (hasOlder && messages.length > 0 && isNewer(messages[0].id, dividerId))
  for (const message of messages) {
    const isUnreadStart = !isDividerSet && isNewer(message.id, dividerId) && message.authorId !== me?.id
    if (isUnreadStart) isDividerSet = true
    add(message.id, message, null, isUnreadStart)
  }
  // By a clock that is behind the server's a draft would be older than what it follows.
  for (const draft of drafts) add(`draft-${draft.nonce}`, messageOfDraft(draft, me, Math.max(draft.at, before?.timestamp ?? 0)), draft, false)
  return rows

  function add(key, message, draft, isUnreadStart) {
    const isNewDay = !before || !isSameDay(before.timestamp, message.timestamp)
    const continues =
      before && !isNewDay && !isUnreadStart && !message.replyTo &&
      before.authorId === message.authorId && message.timestamp - before.timestamp < GROUP_MS
    const day = isNewDay ? message.timestamp : null
    const old = known.get(key)
    const isSame =
      old && (draft ? old.draft === draft : old.message === message) &&
      old.isGroupStart === !continues && old.day === day && old.isUnreadStart === isUnreadStart
    rows.push(isSame ? old : { key, message, draft, isGroupStart: !continues, day, isUnreadStart })
    before = message
  }
}

function messageOfDraft(draft, me, timestamp) {
  return {
    id: `draft-${draft.nonce}`,
    channelId: draft.channelId,
    authorId: me?.id ?? '',
    authorName: me?.username ?? '',
    isBot: false,
    content: draft.content,
    timestamp,
    isEdited: false,
    mentions: [],
    mentionsEveryone: false,
    attachments: [],
    embeds: [],
    reactions: [],
    replyTo: draft.replyTo?.id ?? null,
    replied: draft.replyTo ?? undefined,
    nonce: draft.nonce,
  }
}
