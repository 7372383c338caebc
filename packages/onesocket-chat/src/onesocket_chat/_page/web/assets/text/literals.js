// The parts of a message in which nothing is a mark: code, and addresses.

import { Ends } from './ends.js'

const CODE_BLOCK = /```(?:([\w+#.-]{1,20})\n)?\n?([^]*?)\n?```/y
// No bidirectional controls in an address: they would show another one.
const LINK = /https?:\/\/[^\s<>\u0000-\u001f\u200e\u200f\u202a-\u202e\u2066-\u2069]+/iy
const PIECE = /\\[\\`]|`+|https?:\/\//gi

/** The code blocks of a text, in order: `{ start, end, language, text }`. One without an end, or with nothing in it, is none. */
export function codeBlocks(text) {
  const blocks = []
  const ends = new Ends(text)
  for (let at = text.indexOf('```'); at >= 0; at = text.indexOf('```', at)) {
    if (ends.find('```', at + 3) < 0) break
    const found = matchAt(CODE_BLOCK, text, at)
    if (found?.[2]) {
      blocks.push({ start: at, end: at + found[0].length, language: found[1] ?? null, text: found[2] })
      at += found[0].length
    } else at += 3
  }
  return blocks
}

/** The address at this place, or null. */
export function addressAt(text, at) {
  const found = matchAt(LINK, text, at)
  if (!found) return null
  const address = found[0].replace(/[.,;:!?'"*_~|]+$/, '')
  // A bracket at the end belongs to the sentence, unless the address opened it.
  return address.endsWith(')') && !address.includes('(') ? address.slice(0, -1) : address
}

/** The ranges of a text, `{ start, end }`, that are code or addresses, in order. */
export function literalRanges(text) {
  const ranges = []
  let from = 0
  for (const { start, end } of codeBlocks(text)) {
    addBetween(ranges, text.slice(from, start), from)
    ranges.push({ start, end })
    from = end
  }
  addBetween(ranges, text.slice(from), from)
  return ranges
}

function addBetween(ranges, text, offset) {
  if (!/[`:]/.test(text)) return
  const ends = new Ends(text)
  PIECE.lastIndex = 0
  for (let found = PIECE.exec(text); found; found = PIECE.exec(text)) {
    const { index: start, 0: piece } = found
    let end = start + piece.length
    if (piece[0] === '`') {
      const last = piece.length > 2 ? -1 : ends.findRun(piece.length, end)
      if (last < 0) continue
      end = last + piece.length
    } else if (piece[0] !== '\\') end = start + addressAt(text, start)?.length || end
    else continue
    ranges.push({ start: start + offset, end: end + offset })
    PIECE.lastIndex = end
  }
}

function matchAt(pattern, text, at) {
  pattern.lastIndex = at
  return pattern.exec(text)
}
