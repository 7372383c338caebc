// Markdown as chats have it: parsed into plain objects, which `text/render.js` turns into DOM nodes.
//
// Linear in the length of the text: what has no end is not looked for twice, and nesting is limited.

import { EMOJI } from './emoji.js'
import { withoutDirections } from './names.js'

const MAX_DEPTH = 6
const DELIMITERS = [
  ['**', 'strong'],
  ['__', 'underline'],
  ['~~', 'strike'],
  ['||', 'spoiler'],
  ['*', 'em'],
  ['_', 'em'],
]
const CODE_BLOCK = /```(?:([\w+#.-]{1,20})\n)?\n?([^]*?)\n?```/y
const BACKTICKS = /`+/y
// No bidirectional controls in an address: they would show another one.
const LINK = /https?:\/\/[^\s<>\u0000-\u001f\u200e\u200f\u202a-\u202e\u2066-\u2069]+/iy
const MENTION = /<@!?(\d{1,20})>/y
const EVERYONE = /@(everyone|here)\b/y
const EMOJI_NAME = /:([a-z0-9_+-]{2,32}):/y
const SPECIAL = /[\\*_~|`h<@:\n]/gi
const ESCAPABLE = /[\\*_~|`<@:>#-]/

/** Parse a message into blocks: `paragraph`, `quote` and `codeblock`. */
export function parseMarkdown(text) {
  const blocks = []
  const ends = new Ends(text)
  let start = 0
  for (let at = text.indexOf('```'); at >= 0; at = text.indexOf('```', at + 3)) {
    if (ends.find('```', at + 3) < 0) break
    const found = matchAt(CODE_BLOCK, text, at)
    if (!found || !found[2]) continue
    addLines(blocks, text.slice(start, at))
    blocks.push({ type: 'codeblock', language: found[1] ?? null, text: found[2] })
    start = at + found[0].length
    at = start - 3
  }
  addLines(blocks, text.slice(start))
  return blocks
}

/** The text without marks, in one line, with its spoilers covered: for previews and notifications, where nothing uncovers them. */
export function plainText(text, nameOf = () => 'user') {
  return withoutDirections(text)
    .replace(/<@!?(\d{1,20})>/g, (_, id) => `@${nameOf(id)}`)
    .replace(/^> ?/gm, '')
    .replace(/\|\|[^]+?\|\|/g, '████')
    .replace(/```(?:[\w+#.-]{1,20}\n)?|\*\*|__|~~|\|\||`/g, '')
    .replace(/\s+/g, ' ')
    .trim()
}

function addLines(blocks, text) {
  const lines = text.replace(/^\n|\n$/g, '').split('\n')
  let run = []
  let isQuote = false
  const flush = () => {
    const content = run.join('\n')
    if (content.trim()) blocks.push({ type: isQuote ? 'quote' : 'paragraph', children: parseInline(content) })
    run = []
  }
  for (const line of lines) {
    const quoted = /^> ?(.*)$/.exec(line)
    const becomesQuote = quoted !== null && line.length > 1
    if (becomesQuote !== isQuote) flush()
    isQuote = becomesQuote
    run.push(becomesQuote ? quoted[1] : line)
  }
  flush()
}

/** Parse the inside of a paragraph. */
export function parseInline(text, depth = 0) {
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
    const found = nodeAt(text, at, ends, depth)
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

function nodeAt(text, at, ends, depth) {
  let found
  switch (text[at]) {
    case '\n':
      return { node: { type: 'break' }, length: 1 }
    case '`':
      return codeAt(text, at, ends)
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
      return depth < MAX_DEPTH ? emphasisAt(text, at, ends, depth) : null
  }
}

/** Code between runs of one or two backticks; a longer run is text. */
function codeAt(text, at, ends) {
  const { length } = matchAt(BACKTICKS, text, at)[0]
  if (length > 2) return { node: { type: 'text', text: text.slice(at, at + length) }, length }
  const end = ends.findRun(length, at + length)
  return end < 0 ? null : { node: { type: 'code', text: text.slice(at + length, end) }, length: end + length - at }
}

function emphasisAt(text, at, ends, depth) {
  for (const [mark, type] of DELIMITERS) {
    if (!text.startsWith(mark, at)) continue
    const start = at + mark.length
    if (/\s/.test(text[start] ?? ' ')) continue
    if (mark === '_' && /\w/.test(text[at - 1] ?? '')) continue // snake_case
    const end = ends.find(mark, start + 1)
    if (end < 0 || (/\s/.test(text[end - 1]) && mark.length === 1)) continue
    if (mark === '_' && /\w/.test(text[end + 1] ?? '')) continue
    return { node: { type, children: parseInline(text.slice(start, end), depth + 1) }, length: end + mark.length - at }
  }
  return null
}

function linkAt(text, at) {
  const found = matchAt(LINK, text, at)
  if (!found) return null
  let address = found[0].replace(/[.,;:!?'"*_~|]+$/, '')
  // A bracket at the end belongs to the sentence, unless the address opened it.
  if (address.endsWith(')') && !address.includes('(')) address = address.slice(0, -1)
  try {
    return { node: { type: 'link', href: new URL(address).href, text: address }, length: address.length }
  } catch {
    return null
  }
}

function matchAt(pattern, text, at) {
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** Finds the ends of marks; a mark without an end is looked for once. */
class Ends {
  #text
  #absentFrom = new Map()

  constructor(text) {
    this.#text = text
  }

  find(mark, from) {
    if (from >= (this.#absentFrom.get(mark) ?? Infinity)) return -1
    const at = this.#text.indexOf(mark, from)
    if (at < 0) this.#absentFrom.set(mark, from)
    return at
  }

  /** The next run of exactly `length` backticks. */
  findRun(length, from) {
    const mark = `run ${length}`
    if (from >= (this.#absentFrom.get(mark) ?? Infinity)) return -1
    for (let at = this.find('`', from); at >= 0; ) {
      const found = matchAt(BACKTICKS, this.#text, at)[0].length
      if (found === length) return at
      at = this.find('`', at + found)
    }
    this.#absentFrom.set(mark, from)
    return -1
  }
}
