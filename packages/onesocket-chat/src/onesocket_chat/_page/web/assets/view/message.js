// One row of a channel: a message or a draft, with the dividers above it.

import { isOnlyEmoji } from '../text/emoji.js'
import { dayOf, exactTime, fileSize, messageTime, plural, timeOfDay } from '../text/format.js'
import { plainText } from '../text/markdown.js'
import { renderMarkdown } from '../text/render.js'
import { avatar, h, isolated } from './dom.js'
import { BLOCKED_TEXT } from './moderation.js'

const MAX_IMAGE = { width: 420, height: 320 } // pixels, as in the style
const IMAGE_TYPES = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/avif'])

/**
 * An article for a row. `people`: see `renderMarkdown`, and `isBlocked(id)`. `actions`: what its buttons do: `react(message, name)`,
 * `jump(messageId)`, `retry(nonce)`, `discard(nonce)`.
 */
export function messageElement(row, { people, actions, isEditing, editor }) {
  const { message, draft } = row
  const isMention = message.mentionsEveryone || message.mentions.some((user) => user.id === people.me)
  const article = h('article.message', { tabindex: '-1', 'data-key': row.key, 'aria-labelledby': `label-${row.key}` })
  article.classList.toggle('is-start', row.isGroupStart)
  article.classList.toggle('has-line', row.day !== null || row.isUnreadStart)
  article.classList.toggle('is-mention', isMention && message.authorId !== people.me)
  article.classList.toggle('is-pending', draft !== null && draft.state !== 'failed')
  article.classList.toggle('is-failed', draft?.state === 'failed')
  if (row.day !== null) article.append(h('div.day', { role: 'separator' }, h('span', {}, dayOf(row.day))))
  if (row.isUnreadStart) article.append(h('div.unread-line', { role: 'separator', 'aria-label': 'New messages' }, h('span', {}, 'New')))
  const name = people.name(message.authorId) ?? message.authorName
  const body = h('div.body')
  article.append(h('div.line', {}, gutter(row, name), body))
  body.append(head(row, name))
  if (message.replyTo) body.append(reply(message, people, actions))
  body.append(isEditing ? editor : content(message, people))
  for (const attachment of message.attachments) body.append(attachmentElement(attachment))
  for (const fileName of draft?.fileNames ?? []) body.append(h('div.file.is-waiting', {}, h('span', {}, isolated(fileName))))
  for (const embed of message.embeds) body.append(embedElement(embed, people))
  if (message.reactions.length) body.append(reactions(message, actions))
  if (draft) body.append(fate(draft, actions))
  return article
}

function gutter(row, name) {
  if (row.isGroupStart) return h('div.gutter', {}, avatar(row.message.authorId, name))
  return h('div.gutter', {}, h('time.aside-time', { 'aria-hidden': 'true' }, timeOfDay(row.message.timestamp)))
}

function head(row, name) {
  const { message } = row
  const time = h('time', { datetime: new Date(message.timestamp).toISOString(), title: exactTime(message.timestamp) }, messageTime(message.timestamp, Date.now()))
  const parts = [h('span.author', {}, isolated(name)), message.isBot && h('span.badge', {}, 'Bot'), ' ', time]
  // A screen reader hears the author of every message, though only the first of a run shows it.
  return h(row.isGroupStart ? 'div.head' : 'div.head.sr-only', { id: `label-${row.key}` }, parts)
}

function content(message, people) {
  const element = h('div.content', {}, renderMarkdown(message.content, people))
  element.classList.toggle('is-large', isOnlyEmoji(message.content))
  if (message.isEdited) {
    const mark = h('span.edited', {}, ' (edited)')
    const last = element.lastElementChild
    ;(last && last.matches('p, blockquote') ? last : element).append(mark)
  }
  return element
}

function reply(message, people, actions) {
  if (message.replied === null) return h('div.reply', {}, 'A message that was deleted')
  if (message.replied === undefined) return h('button.reply', { type: 'button', onclick: () => actions.jump(message.replyTo) }, 'A reply: show the message')
  const { authorId, authorName, content } = message.replied
  if (people.isBlocked(authorId)) return h('button.reply', { type: 'button', title: 'Show this message', onclick: () => actions.jump(message.replyTo) }, BLOCKED_TEXT)
  const text = plainText(content, (id) => people.name(id) ?? 'unknown').slice(0, 160) || 'a file'
  return h('button.reply', { type: 'button', title: 'Show this message', onclick: () => actions.jump(message.replyTo) },
    h('span.sr-only', {}, 'Reply to '), h('b', {}, isolated(authorName)), ' ', h('bdi', {}, text))
}

function reactions(message, actions) {
  const buttons = message.reactions.map(({ name, count, isMine }) =>
    h(isMine ? 'button.reaction.is-mine' : 'button.reaction', {
      type: 'button',
      'aria-pressed': String(isMine),
      'aria-label': `${name} ${plural(count, 'reaction')}`,
      onclick: () => actions.react(message, name),
    }, h('span.emoji', {}, name), h('span', {}, String(count))))
  return h('div.reactions', {}, buttons)
}

function attachmentElement(attachment) {
  const { filename, size, content_type: type, width, height } = attachment
  const url = localAddress(attachment.url)
  const download = h('a.file', { href: url, download: filename, target: '_blank', rel: 'noopener' }, h('span', {}, isolated(filename)), h('span.size', {}, fileSize(size)))
  if (!IMAGE_TYPES.has(type)) return download
  const image = h('img', { src: url, alt: attachment.description ?? filename, loading: 'lazy', ...shownSize(width, height) })
  return h('figure.image', {}, h('a', { href: url, target: '_blank', rel: 'noopener', 'aria-label': `${filename}: open it` }, image))
}

/** A picture takes its place before it is loaded, so that the list doesn't move; without a size it can't. */
function shownSize(width, height) {
  if (!(width > 0 && height > 0)) return {}
  const scale = Math.min(1, MAX_IMAGE.width / width, MAX_IMAGE.height / height)
  return { width: String(Math.max(1, Math.round(width * scale))), height: String(Math.max(1, Math.round(height * scale))) }
}

function embedElement(embed, people) {
  const title = embed.title && h('p.embed-title', { dir: 'auto' }, embed.title)
  const fields = (embed.fields ?? []).map((field) => h('div', {}, h('b', {}, field.name), renderMarkdown(field.value, people)))
  return h('div.embed', {}, title, embed.description && renderMarkdown(embed.description, people), fields, embed.footer && h('p.hint', {}, embed.footer.text))
}

function fate(draft, actions) {
  if (draft.state === 'sending') return h('div.fate', {}, 'Sending…')
  const discard = h('button.link', { type: 'button', onclick: () => actions.discard(draft.nonce) }, 'Discard')
  if (draft.state === 'waiting') {
    return h('div.fate', { role: 'group', 'aria-label': 'Not sent yet' }, h('span', {}, draft.error ? `Waits. ${draft.error} ` : 'Waits for the connection. '), discard)
  }
  return h('div.fate.is-failed', { role: 'group', 'aria-label': 'Not sent' },
    h('span', {}, `Not sent. ${draft.error ?? ''} `),
    draft.fileNames.length && !draft.files.length ? null : h('button.link', { type: 'button', onclick: () => actions.retry(draft.nonce) }, 'Try again'),
    discard)
}

/** The part of a file's address behind the server: the page may be reached by another name. */
function localAddress(url) {
  const { pathname, search } = new URL(url, location.href)
  return pathname + search
}
