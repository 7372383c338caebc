// The parts of a message in which nothing is a mark: code, and addresses. The server and clients have to agree on them.
//
// As at Discord: whatever begins first, from left to right, is taken. `onesocket_discord/protocol/_literals.py` is the twin.

import { backticksAt, Ends } from './ends.js'

// Three backticks begin a block wherever they are; whether there are more counts if they don't.
const PIECE = /\\[\\`]|`{1,3}|https?:\/\/|\n> /gi
const LANGUAGE = /([\w+.#-]+)\n/y
// No control characters in an address, and no bidirectional ones: they would show another one.
const LINK = /https?:\/\/[^\s<>\u0000-\u001f\u0085\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069]+/iy
const FENCE = '```'
const QUOTE = '> '

/**
 * The code, the addresses and the quotes of a text, in order; code in a quote ends in it.
 *
 * `literals`: `{ type, start, end, text, language }`, where `type` is `codeblock`, `code` or `link`, the range has the backticks, and
 * the text has not, nor the marks of a quote. `quotes`: `{ start, end }`, ranges of lines that each begin with such a mark.
 */
export function findLiterals(text) {
  const found = { literals: [], quotes: [] }
  const outside = new Scope(text, 0, text.length, false)
  for (let at = 0; at < text.length; ) {
    if (text.startsWith(QUOTE, at) && (at === 0 || text[at - 1] === '\n')) {
      const end = quoteEnd(text, at)
      found.quotes.push({ start: at, end })
      new Scope(text, at, end, true).collect(at, found.literals)
      at = end
    } else at = outside.collect(at, found.literals)
  }
  return found
}

/** The address at this place, or null. */
export function addressAt(text, at) {
  const found = matchAt(LINK, text, at)
  if (!found) return null
  const address = found[0].replace(/[.,;:!?'"*_~|]+$/, '')
  // A bracket at the end belongs to the sentence, unless the address opened it.
  return address.endsWith(')') && !address.includes('(') ? address.slice(0, -1) : address
}

function quoteEnd(text, start) {
  for (let at = start; ; ) {
    const end = text.indexOf('\n', at)
    if (end < 0) return text.length
    if (!text.startsWith(QUOTE, end + 1)) return end
    at = end + 1
  }
}

/** A part of a text out of which no code leads: a quote, or all that is none. */
class Scope {
  #text
  #start
  #isQuote
  #ends

  constructor(text, start, end, isQuote) {
    this.#text = text.slice(start, end)
    this.#start = start
    this.#isQuote = isQuote
    this.#ends = new Ends(this.#text)
  }

  /** Add the literals from `from` on; outside quotes, up to the next one. Returns where it stopped. */
  collect(from, literals) {
    PIECE.lastIndex = from - this.#start
    for (let found = PIECE.exec(this.#text); found; found = PIECE.exec(this.#text)) {
      const { index: at, 0: piece } = found
      if (piece === '\n> ') {
        if (!this.#isQuote) return this.#start + at + 1
      } else if (piece[0] !== '\\') {
        const { lastIndex } = PIECE
        const literal = this.#literalAt(at, piece)
        PIECE.lastIndex = literal ? literal.end : lastIndex + backticksAt(this.#text, lastIndex)
        if (literal) literals.push({ ...literal, start: at + this.#start, end: literal.end + this.#start })
      }
    }
    return this.#start + this.#text.length
  }

  #literalAt(at, piece) {
    if (piece[0] === '`') return piece.length >= FENCE.length ? this.#blockAt(at) : this.#codeAt(at, piece.length)
    const address = addressAt(this.#text, at)
    return address && { type: 'link', end: at + address.length, text: address, language: null }
  }

  #codeAt(at, length) {
    const end = this.#ends.findRun(length, at + length)
    return end < 0 ? null : { type: 'code', end: end + length, text: this.#plain(at + length, end), language: null }
  }

  /** A code block; there is at least one character in it, which may be what looked like a language. */
  #blockAt(at) {
    const begin = at + FENCE.length
    const language = matchAt(LANGUAGE, this.#text, begin)?.[1] ?? ''
    const newline = this.#isQuote ? '\n> ' : '\n'
    for (const name of language ? [language, ''] : ['']) {
      let start = begin + name.length
      while (this.#text.startsWith(newline, start)) start += newline.length
      const end = this.#ends.find(FENCE, start + 1)
      if (end < 0) continue
      const text = this.#plain(start, end).replace(/(?<!\n)\n+$/, '')
      return { type: 'codeblock', end: end + FENCE.length, text, language: name || null }
    }
    return null
  }

  #plain(start, end) {
    const code = this.#text.slice(start, end)
    return this.#isQuote ? code.replaceAll('\n> ', '\n') : code
  }
}

function matchAt(pattern, text, at) {
  pattern.lastIndex = at
  return pattern.exec(text)
}
