// Markdown as chats have it: parsed into plain objects, which `text/render.js` turns into DOM nodes.
//
// Linear in the length of the text: what has no end is not looked for twice, and nesting is limited.

import { EMOJI } from './emoji.js'
import { backticksAt, Ends } from './ends.js'
import { addressAt, findLiterals } from './literals.js'
import { withoutDirections } from './names.js'

const MAX_DEPTH = 6
const DELIMITERS = [
  ['***', 'strong', 'em'],
  ['___', 'underline', 'em'],
  ['**', 'strong'],
  ['__', 'underline'],
  ['~~', 'strike'],
  ['||', 'spoiler'],
  ['*', 'em'],
  ['_', 'em'],
]
const MENTION = /<@!?(\d{1,20})>/y
const EVERYONE = /@(everyone|here)(?![\p{L}\p{N}_])/uy
const EMOJI_NAME = /:([a-z0-9_+-]{2,32}):/y
/** Letters of other alphabets, some of which look like those of Latin. */
const NOT_LATIN = /[^\p{Script=Latin}\p{ASCII}]/u
const LONG_RUN = /\*{4,}|_{4,}/y // as of a line that people draw
const IN_WORD = /[\p{L}\p{N}_]/u
const SPECIAL = /[\\*_~|`h<@:\n]/gi
const ESCAPABLE = /[\\*_~|`<@:>#-]/

/** Parse a message into blocks: `paragraph`, `quote` and `codeblock`. */
export function parseMarkdown(text) {
  const blocks = []
  const { literals, quotes } = findLiterals(text)
  let from = 0
  let next = 0
  const addUpTo = (end, isQuote) => {
    const part = new Part(isQuote)
    for (; next < literals.length && literals[next].start < end; next += 1) {
      const literal = literals[next]
      if (literal.type === 'link') continue
      part.add(text.slice(from, literal.start))
      if (literal.type === 'code') part.addCode(literal)
      else {
        part.endAt(blocks)
        blocks.push({ type: 'codeblock', language: literal.language, text: literal.text })
      }
      from = literal.end
    }
    part.add(text.slice(from, end))
    part.endAt(blocks)
    from = end
  }
  for (const { start, end } of quotes) {
    addUpTo(start, false)
    from = start + '> '.length
    addUpTo(end, true)
  }
  addUpTo(text.length, false)
  return blocks
}

/** Lines of a paragraph, or of a quote without its marks; code has a filler in it, in which nothing is a mark. */
class Part {
  #isQuote
  #text = ''
  #codes = new Map()

  constructor(isQuote) {
    this.#isQuote = isQuote
  }

  add(text) {
    this.#text += this.#isQuote ? text.replaceAll('\n> ', '\n') : text
  }

  addCode({ start, end, text }) {
    this.#codes.set(this.#text.length, { text, length: end - start })
    this.#text += '`' + '\0'.repeat(end - start - 1)
  }

  endAt(blocks) {
    const skipped = this.#text.startsWith('\n') ? 1 : 0
    const content = this.#text.slice(skipped).replace(/\n$/, '')
    const children = content.trim() ? parseInline(content, this.#codes, skipped) : []
    if (children.length) blocks.push({ type: this.#isQuote ? 'quote' : 'paragraph', children })
    this.#text = ''
    this.#codes = new Map()
  }
}

/** The text without marks, in one line, with its spoilers covered: for previews and notifications, where nothing uncovers them. */
export function plainText(text, nameOf = () => 'user') {
  const plainOf = (node) => {
    if (node.type === 'spoiler') return '████'
    if (node.type === 'mention') return `@${nameOf(node.userId)}`
    if (node.type === 'everyone') return `@${node.name}`
    if (node.type === 'break') return ' '
    return node.children?.map(plainOf).join('') ?? node.text
  }
  return withoutDirections(parseMarkdown(text).map(plainOf).join(' ')).replace(/\s+/g, ' ').trim()
}

/** Parse the inside of a paragraph, which begins at `offset` of the text in which `codes` are, by their places. */
function parseInline(text, codes, offset, depth = 0) {
  const nodes = []
  const ends = new Ends(text)
  let plain = ''
  let at = 0
  const push = (node, length) => {
    if (plain) nodes.push({ type: 'text', text: plain })
    plain = ''
    nodes.push(node)
    at += length
  }
  while (at < text.length) {
    SPECIAL.lastIndex = at
    const next = SPECIAL.exec(text)
    const stop = next ? next.index : text.length
    plain += text.slice(at, stop)
    at = stop
    if (at >= text.length) break
    const found = nodeAt(text, at, ends, { codes, offset, depth })
    if (found) push(found.node, found.length)
    else if (text[at] === '\\' && ESCAPABLE.test(text[at + 1] ?? '')) {
      plain += text[at + 1]
      at += 2
    } else {
      plain += text[at]
      at += 1
    }
  }
  if (plain) nodes.push({ type: 'text', text: plain })
  return nodes
}

function nodeAt(text, at, ends, place) {
  let found
  switch (text[at]) {
    case '\n':
      return { node: { type: 'break' }, length: 1 }
    case '`':
      return codeAt(text, at, place)
    case 'h':
    case 'H':
      return linkAt(text, at)
    case '<':
      found = matchAt(MENTION, text, at)
      if (found) return { node: { type: 'mention', userId: found[1] }, length: found[0].length }
      found = text[at + 1] === 'h' && linkAt(text, at + 1)
      return found && text[at + 1 + found.length] === '>' ? { node: found.node, length: found.length + 2 } : null
    case '@':
      found = matchAt(EVERYONE, text, at)
      return found && { node: { type: 'everyone', name: found[1] }, length: found[0].length }
    case ':':
      found = matchAt(EMOJI_NAME, text, at)
      if (!found || !EMOJI.has(found[1])) return null
      return { node: { type: 'emoji', name: found[1], text: EMOJI.get(found[1]) }, length: found[0].length }
    default:
      return place.depth < MAX_DEPTH ? emphasisAt(text, at, ends, place) : null
  }
}

/** Code, or the run of backticks that begins none. */
function codeAt(text, at, { codes, offset }) {
  const code = codes.get(offset + at)
  if (code) return { node: { type: 'code', text: code.text }, length: code.length }
  const length = backticksAt(text, at)
  return { node: { type: 'text', text: text.slice(at, at + length) }, length }
}

function emphasisAt(text, at, ends, { codes, offset, depth }) {
  const run = matchAt(LONG_RUN, text, at)
  if (run) return { node: { type: 'text', text: run[0] }, length: run[0].length }
  for (const [mark, type, inner] of DELIMITERS) {
    if (!text.startsWith(mark, at)) continue
    const start = at + mark.length
    if (/\s/.test(text[start] ?? ' ')) continue
    if (mark === '_' && IN_WORD.test(text[at - 1] ?? '')) continue // snake_case
    const end = endOf(mark, text, start, ends)
    if (end < 0 || (/\s/.test(text[end - 1]) && mark.length !== 2)) continue
    if (mark === '_' && IN_WORD.test(text[end + 1] ?? '')) continue
    const children = parseInline(text.slice(start, end), codes, offset + start, depth + 1)
    return { node: { type, children: inner ? [{ type: inner, children }] : children }, length: end + mark.length - at }
  }
  return null
}

/** The end of what a mark begins before `start`, where "*" may hold "**" and the other way round; -1: it begins nothing. */
function endOf(mark, text, start, ends) {
  const [sign] = mark
  const isDouble = (place) => text[place] === sign && text[place + 1] === sign
  if (mark.length === 1) return ends.findSingle(mark, isDouble(start) ? start : start + 1)
  const end = ends.find(mark, start + 1)
  if (mark.length > 2 || end < 0 || !'*_'.includes(sign)) return end
  // In "***a** b*" the single mark, which ends last, is the outer one.
  if (text[start] === sign && ends.findSingle(sign, end + 2) >= 0) return -1
  // In "**a *b***" the first of three ends what is inside.
  return isDouble(end + 1) && text[end + 3] !== sign ? end + 1 : end
}

function linkAt(text, at) {
  const address = addressAt(text, at)
  if (address === null) return null
  try {
    const { href, host, username, password } = new URL(address)
    if (username || password) return null // "https://bank.example@evil.example" leads to evil.example
    const isOfOtherLetters = NOT_LATIN.test(/^https?:\/\/([^/?#]*)/i.exec(address)[1])
    return { node: { type: 'link', href, text: address, host: isOfOtherLetters ? host : null }, length: address.length }
  } catch {
    return null
  }
}

function matchAt(pattern, text, at) {
  pattern.lastIndex = at
  return pattern.exec(text)
}
