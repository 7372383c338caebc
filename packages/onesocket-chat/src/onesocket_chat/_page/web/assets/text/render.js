// DOM nodes for parsed Markdown.

import { copyText, h } from '../view/dom.js'
import { splitEmoji } from './emoji.js'
import { parseMarkdown } from './markdown.js'

/**
 * Nodes for a message. `people.name(id)`: a person's name, or null; `people.me`: whose mentions stand out.
 */
export function renderMarkdown(text, people) {
  return parseMarkdown(text).map((block) => {
    if (block.type === 'codeblock') return codeBlock(block)
    return h(block.type === 'quote' ? 'blockquote' : 'p', { dir: 'auto' }, inline(block.children, people))
  })
}

function inline(nodes, people) {
  return nodes.map((node) => {
    switch (node.type) {
      case 'text':
        return splitEmoji(node.text).map((part) => (part.isEmoji ? h('span.emoji', {}, part.text) : part.text))
      case 'break':
        return h('br')
      case 'code':
        return h('code', { dir: 'ltr' }, node.text)
      case 'link':
        return [
          h('a', { href: node.href, target: '_blank', rel: 'noopener noreferrer', title: node.href }, h('bdi', { dir: 'ltr' }, node.text)),
          node.host && h('span.hint', { dir: 'ltr' }, ` (${node.host})`), // as it is in ASCII
        ]
      case 'mention': {
        const name = people.name(node.userId) ?? 'unknown'
        return h(people.me === node.userId ? 'span.mention.of-me' : 'span.mention', {}, '@', h('bdi', {}, name))
      }
      case 'everyone':
        return h('span.mention.of-me', {}, `@${node.name}`)
      case 'emoji':
        return h('span.emoji', { title: `:${node.name}:` }, node.text)
      case 'spoiler':
        return spoiler(inline(node.children, people))
      default:
        return h(TAGS[node.type], {}, inline(node.children, people))
    }
  })
}

const TAGS = { strong: 'strong', em: 'em', underline: 'u', strike: 's' }

function spoiler(children) {
  const content = h('span.spoiler-text', { 'aria-hidden': 'true' }, children)
  const button = h('button.spoiler', { type: 'button', 'aria-label': 'Spoiler: show it', onclick: reveal }, content)
  return button

  function reveal() {
    const shown = h('span.spoiler-shown', { tabindex: '-1' }, children)
    button.replaceWith(shown)
    shown.focus()
  }
}

function codeBlock({ language, text }) {
  const copy = h('button.copy', { type: 'button', onclick: () => copyCode(text, copy) }, 'Copy')
  const label = language ? `Code, ${language}` : 'Code'
  return h('div.code-block', {},
    h('div.code-head', {}, h('span', {}, language ?? ''), copy),
    h('pre', { tabindex: '0', role: 'region', 'aria-label': label, dir: 'ltr' }, h('code', {}, text)))
}

async function copyCode(text, button) {
  button.textContent = (await copyText(text)) ? 'Copied' : 'Not copied'
  setTimeout(() => (button.textContent = 'Copy'), 2_000)
}
