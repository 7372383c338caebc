// DOM nodes from plain values. Text becomes text nodes: nothing here parses HTML.

/**
 * An element: `h('button.primary', { type: 'button', onclick }, 'Send')`. Functions named `on…` become listeners; `true` sets
 * an attribute without a value; null, undefined and false leave it out.
 */
export function h(selector, attributes = {}, ...children) {
  const [tag, ...classes] = selector.split('.')
  const element = document.createElement(tag)
  if (classes.length) element.className = classes.join(' ')
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue
    if (typeof value === 'function') element.addEventListener(name.slice(2), value)
    else element.setAttribute(name, value === true ? '' : value)
  }
  append(element, children)
  return element
}

/** Append nodes, texts and (nested) lists of them; null and false are left out. */
export function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue
    parent.append(child)
  }
}

/** Replace all children. */
export function fill(parent, ...children) {
  parent.replaceChildren()
  append(parent, children)
}

/** Make these elements the children, in this order; what is in its place already is not touched. */
export function arrange(parent, elements) {
  const wanted = new Set(elements)
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove()
  let next = parent.firstChild
  for (const element of elements) {
    if (element === next) next = next.nextSibling
    else parent.insertBefore(element, next)
  }
}

const SVG = 'http://www.w3.org/2000/svg'
const PATHS = {
  menu: 'M3 6h18M3 12h18M3 18h18',
  search: 'M11 4a7 7 0 1 0 0 14a7 7 0 0 0 0-14M16 16l5 5',
  people: 'M9 11a4 4 0 1 0 0-8a4 4 0 0 0 0 8M2 21c0-4 3-6 7-6s7 2 7 6M16 3.5a4 4 0 0 1 0 7M18 15.5c2.500.8 4 2.700 4 5.500',
  invite: 'M9 11a4 4 0 1 0 0-8a4 4 0 0 0 0 8M2 21c0-4 3-6 7-6s7 2 7 6M19 8v6M16 11h6',
  eye: 'M2 12c2.500-4.700 6-7 10-7s7.500 2.300 10 7c-2.500 4.700-6 7-10 7s-7.500-2.300-10-7M12 9a3 3 0 1 0 0 6a3 3 0 0 0 0-6',
  smile: 'M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18M8.500 10h.01M15.500 10h.01M8 14.500c1 1.300 2.300 2 4 2s3-.7 4-2',
  reply: 'M10 6L4 12l6 6M4 12h9c4 0 6 2 7 6',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13 7l4 4',
  trash: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v6M14 11v6',
  attach: 'M20 11l-8.500 8.500a5 5 0 0 1-7-7L13 4a3.400 3.400 0 0 1 4.800 4.800L9.500 17a1.700 1.700 0 0 1-2.400-2.400L14.500 7',
  send: 'M4 12L20 4l-5 16-4-6zM11 14l9-10',
  close: 'M5 5l14 14M19 5L5 19',
  plus: 'M12 4v16M4 12h16',
  leave: 'M14 4H5v16h9M10 12h11M17 8l4 4l-4 4',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  down: 'M12 4v16M5 13l7 7 7-7',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  unread: 'M12 8a4 4 0 1 0 0 8a4 4 0 0 0 0-8',
  ban: 'M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18M5.700 5.700L18.300 18.300',
  flag: 'M5 21V4M5 4h13l-3 4l3 4H5',
  gear: 'M12 9a3 3 0 1 0 0 6a3 3 0 0 0 0-6M12 2v4M12 18v4M2 12h4M18 12h4M5 5l2.800 2.800M16.200 16.200L19 19M19 5l-2.800 2.800M7.800 16.200L5 19',
}

/** A line icon; it says nothing to screen readers, so its button needs a label. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', '0 0 24 24')
  svg.setAttribute('aria-hidden', 'true')
  svg.setAttribute('class', 'icon')
  const path = document.createElementNS(SVG, 'path')
  path.setAttribute('d', PATHS[name])
  svg.append(path)
  return svg
}

/** A button with an icon; the label is its name and its tooltip. */
export function iconButton(name, label, onclick, attributes = {}) {
  return h('button.icon-button', { type: 'button', 'aria-label': label, title: label, onclick, ...attributes }, icon(name))
}

/** The field of a password, with a button that shows what is typed: it is asked for once. */
export function withShowButton(field) {
  const button = iconButton('eye', 'Show what is typed', () => show(field.type === 'password'), { 'aria-pressed': 'false' })
  const show = (isShown) => {
    field.type = isShown ? 'text' : 'password'
    button.setAttribute('aria-pressed', String(isShown))
    // Browsers offer to keep what is sent from a field for passwords alone.
    if (isShown) field.form?.addEventListener('submit', () => show(false), { once: true })
  }
  return h('div.password-field', {}, field, button)
}

/** A circle with an initial, in one of twelve colours that depends on the id. */
export function avatar(id, name) {
  const hue = [...id].reduce((sum, digit) => (sum * 31 + digit.charCodeAt(0)) % 12, 7)
  return h(`span.avatar.hue-${hue}`, { 'aria-hidden': 'true' }, firstCharacter(name || '?').toUpperCase())
}

/** What people take for the first character. A Firefox of 2023 knows code points alone. */
function firstCharacter(text) {
  if (!Intl.Segmenter) return [...text][0]
  return new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(text).containing(0).segment
}

/** The key of a shortcut: for a letter the Latin one that is on it, whatever the keyboard's alphabet, and Caps Lock. */
export function shortcutKey({ key, code }) {
  if (/^[a-z]$/i.test(key)) return key.toLowerCase()
  const latin = /^\p{L}$/u.test(key) ? /^Key([A-Z])$/.exec(code) : null
  return latin ? latin[1].toLowerCase() : key
}

/** Copy a text; resolves with false where the browser doesn't let the page do so, as without a secure context. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return false
  }
}

/** A name that can't reorder the text around it. */
export function isolated(text) {
  return h('bdi', {}, text)
}
