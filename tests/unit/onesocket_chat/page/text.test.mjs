import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseMarkdown, plainText } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/text/markdown.js'
import { completionAt, decodeMentions, encodeMentions } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/text/mentions.js'
import { inviteCode, invitedBy } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/text/invite.js'
import { EMOJI, findEmoji, isOnlyEmoji, splitEmoji } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/text/emoji.js'

/** A short form: `strong(em(x))`. */
function short(nodes) {
  return nodes.map((node) => {
    if (node.type === 'text') return node.text
    if (node.type === 'break') return '/'
    const inside = node.children ? short(node.children) : (node.href ?? node.userId ?? node.text ?? node.name)
    return `${node.type}(${inside})`
  }).join('')
}

const CASES = [
  ['plain', 'paragraph(plain)'],
  ['**a** *b* _c_ __d__ ~~e~~ ||f||', 'paragraph(strong(a) em(b) em(c) underline(d) strike(e) spoiler(f))'],
  ['**a *b* c**', 'paragraph(strong(a em(b) c))'],
  ['snake_case_name and 2 * 3 * 4', 'paragraph(snake_case_name and 2 * 3 * 4)'],
  ['année_é_x and _année_é and @hereé', 'paragraph(année_é_x and _année_é and @hereé)'],
  ['**open and `code` with **', 'paragraph(strong(open and code(code) with ))'],
  ['`*no* <@1>` ``a`b``', 'paragraph(code(*no* <@1>) code(a`b))'],
  ['a ``` b ` c', 'paragraph(a ``` b ` c)'],
  ['\\*not\\* \\`this\\`', 'paragraph(*not* `this`)'],
  ['https://a.example/b_c_d?e=(f). Yes', 'paragraph(link(https://a.example/b_c_d?e=(f)). Yes)'],
  ['(https://a.example) <https://b.example/>', 'paragraph((link(https://a.example/)) link(https://b.example/))'],
  ['javascript:alert(1) data:text/html,x http://', 'paragraph(javascript:alert(1) data:text/html,x http://)'],
  ['<@12> <@!34> @everyone @here @everyoneelse', 'paragraph(mention(12) mention(34) everyone(everyone) everyone(here) @everyoneelse)'],
  [':wave: :no_such: 12:30:45', 'paragraph(emoji(👋) :no_such: 12:30:45)'],
  ['a\nb', 'paragraph(a/b)'],
  ['> q\n> r\ntext', 'quote(q/r)paragraph(text)'],
  ['```py\nx = 1\n```', 'codeblock(x = 1)'],
  ['before\n```\n**raw** <b>\n```\nafter', 'paragraph(before)codeblock(**raw** <b>)paragraph(after)'],
  ['``` no end', 'paragraph(``` no end)'],
  ['<script>alert(1)</script>', 'paragraph(<script>alert(1)</script>)'],
  ['👩‍👩‍👧‍👦 \u202eabc', 'paragraph(👩‍👩‍👧‍👦 \u202eabc)'],
  ['***a***, ___b___, ***a** b*, ***a* b**', 'paragraph(strong(em(a)), underline(em(b)), em(strong(a) b), strong(em(a) b))'],
  ['*a **b** c*, **a *b***, __a _b___, _a __b__ c_', 'paragraph(em(a strong(b) c), strong(a em(b)), underline(a em(b)), em(a underline(b) c))'],
  ['~~||a **b**||~~ **** ** *', 'paragraph(strike(spoiler(a strong(b))) **** ** *)'],
  ['>_< >:(\n>>> print(1)', 'paragraph(>_< >:(/>>> print(1))'],
  ['https://bank.example@evil.example/ https://a:b@c.example', 'paragraph(https://bank.example@evil.example/ https://a:b@c.example)'],
  ['https://social.example/@ada/1', 'paragraph(link(https://social.example/@ada/1))'],
  ['https://a.example/\u202egpj.exe', 'paragraph(link(https://a.example/)\u202egpj.exe)'],
]

const CODE_CASES = JSON.parse(readFileSync(new URL('../../../support/code_in_messages.json', import.meta.url), 'utf8'))

/** Every node of a tree, in order. */
const all = (nodes) => nodes.flatMap((node) => [node, ...all(node.children ?? [])])

for (const [text, codes, mentioned] of CODE_CASES) {
  test(`code begins where server and terminal see it: ${JSON.stringify(text)}`, () => {
    const nodes = all(parseMarkdown(text))
    assert.deepEqual(nodes.filter((node) => node.type.startsWith('code')).map((node) => node.text), codes)
    assert.deepEqual(nodes.filter((node) => node.type === 'mention').map((node) => Number(node.userId)), mentioned)
    const people = ['1', '2', '3'].map((id) => ({ id, username: `u${id}` }))
    const sent = text.replace(/<@(\d)>/g, (whole, id) => (mentioned.includes(Number(id)) ? whole : `@u${id}`))
    assert.equal(encodeMentions(text.replace(/<@(\d)>/g, '@u$1'), people), sent)
  })
}

for (const [text, expected] of CASES) {
  test(`Markdown: ${JSON.stringify(text)}`, () => assert.equal(short(parseMarkdown(text)), expected))
}

test('no text makes the parser slow', () => {
  const pieces = ['**', '*a ', '`', '```a', '_x', '<@', ':a', '||a', 'h', '``a`', '*_', '> ', '@', '\\*', '[', '~~a**', 'https://', '\n', '__*']
  for (const piece of [...pieces, '*****', '***', '*a***', '***a** ', '_a__b', '```a```', '`a `` ', '```a\n', '*`a`* ', '> `\n', '`a`> ', '\\``a']) {
    const text = piece.repeat(Math.ceil(100_000 / piece.length))
    const begun = performance.now()
    parseMarkdown(text)
    encodeMentions(`${text}@a`, [{ id: '1', username: 'a' }])
    // Quadratic ones take minutes; this leaves a slow machine a hundred times what it needs.
    assert.ok(performance.now() - begun < 3_000, piece)
  }
})

test('previews are one line without marks and without controls that reorder', () => {
  assert.equal(plainText('**a**\n```py\nb\n``` <@7> \u202ec', () => 'ada'), 'a b @ada c')
})

test('previews keep spoilers covered, as nothing there can uncover them', () => {
  assert.equal(plainText('he ||dies **at**\nlast||, ||she|| not'), 'he ████, ████ not')
  assert.equal(plainText('a || b'), 'a || b')
  assert.equal(plainText('it is ||a `b|| c` d|| e'), 'it is ████ e') // what is code ends none
  assert.equal(plainText('`||` a ||b||\n> ||c|| `d`'), '|| a ████ ████ d')
})

test('names become mentions, and back', () => {
  const people = [{ id: '1', username: 'ann' }, { id: '2', username: 'ann b' }, { id: '3', username: 'Zoë' }]
  assert.equal(encodeMentions('@ann b, @ann! @zoë @annika mail@ann @', people), '<@2>, <@1>! <@3> @annika mail@ann @')
  assert.equal(decodeMentions('<@2> <@9>', (id) => people.find((user) => user.id === id)?.username ?? null), '@ann b <@9>')
})

test('no name becomes a mention in code, nor in an address', () => {
  const people = [{ id: '1', username: 'ann' }]
  const literal = [
    '```py\n@ann\ndef f(): ...\n```', '`@ann`', '``@ann ` @ann``', 'https://social.example/@ann/1', '<https://social.example/@ann>',
  ]
  for (const text of literal) {
    assert.equal(encodeMentions(text, people), text)
    assert.equal(encodeMentions(`@ann ${text} @ann`, people), `<@1> ${text} <@1>`)
    const stored = text.replaceAll('@ann', '<@1>')
    if (!text.includes('https')) assert.equal(decodeMentions(`<@1> ${stored} <@1>`, () => 'ann'), `@ann ${stored} @ann`)
  }
  for (const text of ['` @ann', '\\`@ann\\`', '``` @ann', '``````@ann', 'a: @ann']) assert.equal(encodeMentions(text, people), text.replace('@ann', '<@1>'))
})

test('an address in letters that look like others is told in ASCII, too', () => {
  const host = (text) => parseMarkdown(text)[0].children[0].host
  assert.equal(host('https://аpple.example/x'), 'xn--pple-43d.example')
  assert.equal(host('https://пример.example:8443?a'), 'xn--e1afmkfd.example:8443')
  for (const text of ['https://münchen.example/', 'https://a.example/аpple', 'https://a.example?д']) assert.equal(host(text), null)
})

test('what is completed', () => {
  assert.deepEqual(completionAt('hello @an'), { kind: '@', query: 'an', start: 6 })
  assert.deepEqual(completionAt(':wav'), { kind: ':', query: 'wav', start: 0 })
  assert.equal(completionAt('a@an'), null)
  assert.equal(completionAt('12:3'), null)
  assert.equal(completionAt(':w'), null)
})

test('emoji', () => {
  assert.ok(EMOJI.size > 290)
  assert.equal(findEmoji('thumbs')[0].name, 'thumbsup')
  assert.ok(isOnlyEmoji('👨‍👩‍👧‍👦 ❤️ 👍🏽 🇫🇷'))
  assert.ok(isOnlyEmoji('1️⃣ #⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿'))
  assert.ok(!isOnlyEmoji('👍 yes'))
  assert.ok(!isOnlyEmoji('12'))
  for (const one of ['🏴󠁧󠁢󠁥󠁮󠁧󠁿', '7️⃣', '🏳️‍🌈', '👩🏽‍🚀', '👨‍👩‍👧‍👦', '🇫🇷']) assert.deepEqual(splitEmoji(`a${one}b`).map((part) => part.text), ['a', one, 'b'])
})

test('the code of an invite is found alone and in a link', () => {
  for (const text of ['AbC-1_2', '  AbC-1_2\n', 'https://chat.example/invite/AbC-1_2', 'https://chat.example/invite/AbC-1_2/', 'chat.example/AbC-1_2?from=ada#top']) {
    assert.equal(inviteCode(text), 'AbC-1_2', text)
  }
  assert.equal(inviteCode('no code'), 'no code')
  assert.equal(invitedBy({ pathname: '/invite/AbC-1_2' }), 'AbC-1_2')
  for (const pathname of ['/', '/invite/', '/invite/%E0', '/invite/a/b', '/channels/@me/1']) assert.equal(invitedBy({ pathname }), null)
})
