// Reads texts as JSON from the standard input, and says where code, addresses and quotes are, and which code is shown.

import { readFileSync } from 'node:fs'
import { findLiterals } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/text/literals.js'
import { parseMarkdown } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/text/markdown.js'

const all = (nodes) => nodes.flatMap((node) => [node, ...all(node.children ?? [])])

const read = (text) => {
  const { literals, quotes } = findLiterals(text)
  return {
    text,
    literals: literals.map((one) => [one.type, one.start, one.end, one.text, one.language ?? '']),
    quotes: quotes.map((one) => [one.start, one.end]),
    shown: all(parseMarkdown(text)).filter((node) => node.type.startsWith('code')).map((node) => node.text),
  }
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(read)))
