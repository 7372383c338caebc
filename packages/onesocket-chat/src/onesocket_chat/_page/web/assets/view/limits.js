// What the server takes: the page says so at once, instead of sending it.

/** Characters of a message: of an emoji of several each counts. */
export const MAX_LENGTH = 2_000

/** Returns whether a text is short enough for a message; a notice says so if it isn't. */
export function mayBeSent(session, text) {
  const id = 'too-long'
  const isShort = [...text].length <= MAX_LENGTH
  if (isShort) session.store.dispatch({ type: 'notice-withdrawn', id })
  else session.notify({ id, kind: 'error', title: 'Too long', text: `A message has at most ${MAX_LENGTH} characters. Send it in parts, or as a file.` })
  return isShort
}
