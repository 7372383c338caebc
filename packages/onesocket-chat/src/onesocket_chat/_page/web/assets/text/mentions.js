// Mentions: people write "@ada", the server stores "<@id>". What is code, or an address, stays as it was written.

import { findLiterals } from './literals.js'

/** The text as it is sent: names of `people` ({ id, username }) behind an @ become mentions. */
export function encodeMentions(text, people) {
  // Longer names first: "@ann" must not take the beginning of "@ann b".
  const sorted = [...people].sort((a, b) => b.username.length - a.username.length)
  const names = new Map(sorted.map((user) => [user.username.toLowerCase(), user.id]))
  if (!names.size || !text.includes('@')) return text
  const longest = sorted[0].username.length
  const isLiteral = inside(findLiterals(text).literals)
  let result = ''
  let at = 0
  for (;;) {
    const mark = text.indexOf('@', at)
    if (mark < 0) return result + text.slice(at)
    result += text.slice(at, mark)
    const isWord = /[\p{L}\p{N}_]/u.test(text[mark - 1] ?? '') // an address, such as ada@example.org
    const found = isWord || isLiteral(mark) ? null : longestName(text, mark + 1, names, longest)
    result += found ? `<@${found.id}>` : '@'
    at = mark + 1 + (found ? found.length : 0)
  }
}

/** The text as it is edited: mentions become names. */
export function decodeMentions(text, nameOf) {
  const isLiteral = inside(findLiterals(text).literals)
  return text.replace(/<@!?(\d{1,20})>/g, (whole, id, at) => {
    const name = isLiteral(at) ? null : nameOf(id)
    return name ? `@${name}` : whole
  })
}

/** The word that is completed at the end of `text`: `{ kind: '@' or ':', query, start }`, or null. */
export function completionAt(text) {
  const found = /(?:^|[\s(])([@:])([^\s@:]{0,32})$/u.exec(text)
  if (!found) return null
  const [, kind, query] = found
  return kind === ':' && query.length < 2 ? null : { kind, query, start: text.length - query.length - 1 }
}

function longestName(text, start, names, longest) {
  for (let length = Math.min(longest, text.length - start); length > 0; length -= 1) {
    const id = names.get(text.slice(start, start + length).toLowerCase())
    const next = text.slice(start + length, start + length + 2)
    if (id !== undefined && !/^[\p{L}\p{N}_]/u.test(next)) return { id, length }
  }
  return null
}

/** A function that tells of growing places whether they are in one of these ranges. */
function inside(ranges) {
  let next = 0
  return (place) => {
    while (next < ranges.length && ranges[next].end <= place) next += 1
    return next < ranges.length && ranges[next].start <= place
  }
}
