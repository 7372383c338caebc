import { EMOJI_GROUPS, findEmoji } from '../text/emoji.js'
import { fill, h } from './dom.js'

/** A dialog to pick an emoji: search by name, arrows through the grid. Resolves with `{ name, text }`, or null. */
export function pickEmoji(near) {
  return new Promise((resolve) => {
    let result = null
    const search = h('input', { type: 'search', placeholder: 'Search emoji', 'aria-label': 'Search emoji', oninput: show })
    const grid = h('div.emoji-grid')
    const dialog = h('dialog.picker', { 'aria-label': 'Emoji', onclose: closed, onkeydown: key, onclick: (event) => event.target === dialog && dialog.close() }, search, grid)
    document.body.append(dialog)
    show()
    dialog.showModal()
    place(dialog, near)
    search.focus()

    function show() {
      const query = search.value.trim()
      const groups = query ? [{ title: 'Found', emoji: findEmoji(query, 64) }] : EMOJI_GROUPS
      fill(grid, groups.map(({ title, emoji }) => h('section', {}, h('h3', {}, title), h('div.emoji-list', {}, emoji.map((one) =>
        h('button', { type: 'button', title: `:${one.name}:`, 'aria-label': one.name.replaceAll('_', ' '), onclick: () => choose(one) }, one.text))))))
      if (query && !grid.querySelector('button')) fill(grid, h('p.hint', {}, 'No emoji has this name.'))
    }

    function choose(emoji) {
      result = emoji
      dialog.close()
    }

    function key(event) {
      const buttons = [...grid.querySelectorAll('button')]
      const at = buttons.indexOf(document.activeElement)
      if (event.key === 'Enter' && document.activeElement === search) {
        event.preventDefault()
        buttons[0]?.click()
        return
      }
      const columns = Math.max(1, Math.floor(grid.clientWidth / 40))
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key]
      if (!step || (at < 0 && event.key !== 'ArrowDown')) return
      event.preventDefault()
      if (at + step < 0 && at >= 0) search.focus()
      else buttons[at < 0 ? 0 : Math.min(buttons.length - 1, at + step)]?.focus()
    }

    function closed() {
      dialog.remove()
      resolve(result)
    }
  })
}

/** Put a dialog beside an element, within the window. */
export function place(dialog, near) {
  const from = near.getBoundingClientRect()
  const { width, height } = dialog.getBoundingClientRect()
  const left = Math.max(8, Math.min(from.right - width, innerWidth - width - 8))
  const above = from.top - height - 8
  const top = above >= 8 ? above : Math.min(from.bottom + 8, innerHeight - height - 8)
  dialog.style.left = `${left}px`
  dialog.style.top = `${Math.max(8, top)}px`
}
