// Names that others chose, for places that can't isolate them: titles, labels, notifications.

const DIRECTIONS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g
const INVISIBLE = /[\p{C}\p{Z}\u115f\u1160\u2800\u3164\uffa0]/gu

/** A text without marks that turn what follows around. */
export function withoutDirections(text) {
  return text.replace(DIRECTIONS, '')
}

/** A name in one line, which turns nothing around and can be seen. */
export function shownName(name) {
  const line = withoutDirections(name).replace(/\s+/g, ' ').trim()
  return line.replace(INVISIBLE, '') ? line : '(no name)'
}
