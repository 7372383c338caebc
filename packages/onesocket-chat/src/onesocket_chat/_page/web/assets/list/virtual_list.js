import { Heights } from './heights.js'

const OVERSCAN = 600
const BOTTOM = 48 // as near to the end counts as being there
const EDGE = 900 // as near to an end more is loaded

/**
 * A scrolling list that holds only the rows near what is seen. Heights are guessed, and measured once a row was drawn; what is
 * seen stays where it is when rows above it change.
 *
 * A row is an object with a `key`; it is drawn again when another object has its key.
 */
export class VirtualList {
  #container
  #render
  #estimate
  #rows = []
  #indices = new Map() // key -> index
  #measured = new Map() // key -> height
  #heights = new Heights([])
  #drawn = new Map() // key -> { row, element }
  #before = document.createElement('div')
  #after = document.createElement('div')
  #content = document.createElement('div')
  #rowResized
  #padding = 8 // below the last row, by the style
  #isScheduled = false
  #isAtBottom = true
  #isEnd = true // the last row is the last one there is, and no more are to be loaded behind it
  #top = 0 // where it was scrolled to when that was looked at last
  #size = '' // the container's, when the list was drawn last
  #anchor = null // { key, offset }: the first row that is seen, and how far above the edge it begins

  /** `onEdge('top' or 'bottom')`: an end is near. `onScroll()`: what is seen has changed. */
  constructor({ container, render, estimate = () => 48, onEdge = () => {}, onScroll = () => {}, startsAtBottom = true }) {
    this.#container = container
    this.#render = render
    this.#estimate = estimate
    this.#isAtBottom = startsAtBottom
    this.startsAtBottom = startsAtBottom
    this.onEdge = onEdge
    this.onScroll = onScroll
    this.#content.className = 'rows'
    container.append(this.#before, this.#content, this.#after)
    container.addEventListener('scroll', () => this.#notice(), { passive: true })
    new ResizeObserver(() => this.#schedule()).observe(container)
    this.#rowResized = new ResizeObserver((entries) => this.#rowsResized(entries))
  }

  /** True if the end is seen. */
  get isAtBottom() {
    return this.#isAtBottom
  }

  /** The rows, all of them. */
  get rows() {
    return this.#rows
  }

  /** The key of the first row that is seen, or null. */
  get topKey() {
    return this.#anchor?.key ?? null
  }

  /** Forget everything, as for another channel. */
  reset() {
    this.#rows = []
    this.#measured.clear()
    this.#anchor = null
    this.#isAtBottom = this.startsAtBottom
    this.#removeBut(new Set())
  }

  /** Show these rows. The place is kept; at the bottom it is the bottom, if that is the end (`isEnd`). */
  setRows(rows, { isEnd = true } = {}) {
    this.#notice()
    this.#isEnd = isEnd
    if (!isEnd) this.#isAtBottom = false
    this.#rows = rows
    this.#indices = new Map(rows.map((row, index) => [row.key, index]))
    this.#heights = new Heights(rows.map((row) => this.#measured.get(row.key) ?? this.#estimate(row)))
    this.#update()
  }

  /** Draw a row again although its object is the same. */
  redraw(key) {
    const drawn = this.#drawn.get(key)
    if (drawn) drawn.row = null
    this.#schedule()
  }

  /** Draw all rows again. */
  redrawAll() {
    for (const drawn of this.#drawn.values()) drawn.row = null
    this.#schedule()
  }

  scrollToBottom() {
    this.#isAtBottom = true
    this.#update()
  }

  /** Scroll until a row is in the middle; returns its element, or null. */
  scrollToKey(key, place = 'center') {
    const index = this.#indices.get(key)
    if (index === undefined) return null
    this.#isAtBottom = false
    // Twice: the rows around it are measured by the first time.
    for (let round = 0; round < 2; round += 1) {
      const room = this.#container.clientHeight - this.#heights.get(index)
      const offset = place === 'center' ? Math.max(0, room / 2) : 8
      this.#anchor = { key, offset: -offset }
      this.#update()
    }
    this.#scrolled()
    return this.element(key)
  }

  /** Scroll as little as possible until a row is seen; returns its element, or null. */
  reveal(key) {
    const index = this.#indices.get(key)
    if (index === undefined) return null
    const top = this.#heights.offset(index)
    const { scrollTop, clientHeight } = this.#container
    const isSeen = top >= scrollTop && top + this.#heights.get(index) <= scrollTop + clientHeight
    if (!isSeen || !this.#drawn.has(key)) return this.scrollToKey(key, top < scrollTop ? 'top' : 'center')
    return this.element(key)
  }

  /** The element of a row that is drawn, or null. */
  element(key) {
    return this.#drawn.get(key)?.element ?? null
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  /** Somebody may have scrolled, and the event comes later: that place counts, not the one before. */
  #notice() {
    // A container that grows is scrolled as far as the rows' old heights allow. That is no word of the reader's.
    if (this.#size !== this.#sizeNow()) return
    if (this.#rows.length && Math.abs(this.#container.scrollTop - this.#top) >= 1) this.#scrolled()
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#container
    this.#top = scrollTop
    this.#isAtBottom = this.#isEnd && scrollHeight - scrollTop - clientHeight < BOTTOM
    this.#setAnchor()
    this.#schedule()
  }

  #sizeNow() {
    return `${this.#container.clientWidth}x${this.#container.clientHeight}`
  }

  #setAnchor() {
    if (!this.#rows.length) return
    const { scrollTop } = this.#container
    const index = this.#heights.indexAt(scrollTop)
    this.#anchor = { key: this.#rows[index].key, offset: scrollTop - this.#heights.offset(index) }
  }

  #schedule() {
    if (this.#isScheduled) return
    this.#isScheduled = true
    requestAnimationFrame(() => {
      this.#isScheduled = false
      this.#notice()
      this.#update()
    })
  }

  #update() {
    // A height that was only guessed moves what follows: drawn once more, it is where it belongs.
    for (let round = 0; round < 4; round += 1) {
      const wanted = this.#wantedTop()
      const hasChanged = this.#draw(wanted)
      if (Math.abs(wanted - this.#container.scrollTop) >= 1) this.#container.scrollTop = wanted
      if (!hasChanged) break
    }
    const { scrollTop, scrollHeight, clientHeight } = this.#container
    this.#top = scrollTop
    this.#size = this.#sizeNow()
    if (!clientHeight || !this.#rows.length) return
    if (this.#isAtBottom) this.#setAnchor()
    if (scrollTop < EDGE) this.onEdge('top')
    if (scrollHeight - scrollTop - clientHeight < EDGE) this.onEdge('bottom')
    this.onScroll()
  }

  /** Where the anchor, or the bottom, is now. */
  #wantedTop() {
    const { scrollTop, clientHeight } = this.#container
    if (this.#isAtBottom && this.startsAtBottom) return Math.max(0, this.#heights.total + this.#padding - clientHeight)
    const index = this.#anchor && this.#indices.get(this.#anchor.key)
    return index === undefined || index === null ? scrollTop : Math.max(0, this.#heights.offset(index) + this.#anchor.offset)
  }

  /** Draw what is near `scrollTop`; returns true if a height was not the guessed one. */
  #draw(scrollTop) {
    const { clientHeight } = this.#container
    const top = Math.min(scrollTop, Math.max(0, this.#heights.total - clientHeight))
    const first = this.#rows.length ? this.#heights.indexAt(Math.max(0, top - OVERSCAN)) : 0
    const last = this.#rows.length ? this.#heights.indexAt(top + clientHeight + OVERSCAN) : -1
    const wanted = this.#rows.slice(first, last + 1)
    this.#removeBut(new Set(wanted.map((row) => row.key)))
    const fresh = this.#insert(wanted, first)
    let hasChanged = false
    for (const [index, element] of fresh) hasChanged = this.#measure(index, element.getBoundingClientRect().height) || hasChanged
    setHeight(this.#before, this.#heights.offset(first))
    setHeight(this.#after, this.#heights.total - this.#heights.offset(last + 1))
    return hasChanged
  }

  #removeBut(keys) {
    for (const [key, { element }] of this.#drawn) {
      if (keys.has(key)) continue
      if (element.contains(document.activeElement)) this.#container.focus({ preventScroll: true })
      this.#rowResized.unobserve(element)
      element.remove()
      this.#drawn.delete(key)
    }
  }

  /** Put the rows in their order; returns those that were not drawn before, `[index, element]`. */
  #insert(wanted, first) {
    const fresh = []
    let next = this.#content.firstChild
    wanted.forEach((row, at) => {
      let drawn = this.#drawn.get(row.key)
      if (drawn?.row !== row) {
        const focused = drawn?.element.contains(document.activeElement) ? document.activeElement : null
        const element = this.#render(row, drawn?.element ?? null)
        if (drawn) {
          if (next === drawn.element) next = element
          this.#replace(drawn.element, element, focused)
        }
        element.dataset.row = row.key
        this.#rowResized.observe(element)
        drawn = { row, element, place: '' }
        this.#drawn.set(row.key, drawn)
        fresh.push([first + at, element])
      }
      const place = `${first + at + 1}/${this.#rows.length}`
      if (drawn.place !== place) {
        drawn.place = place
        drawn.element.setAttribute('aria-posinset', String(first + at + 1))
        drawn.element.setAttribute('aria-setsize', String(this.#rows.length))
      }
      if (drawn.element === next) next = next.nextSibling
      else this.#content.insertBefore(drawn.element, next)
    })
    return fresh
  }

  /** `focused`: what had the focus in the old element, and may be in the new one, such as a field that is written in. */
  #replace(old, element, focused) {
    this.#rowResized.unobserve(old)
    old.replaceWith(element)
    if (focused) (element.contains(focused) ? focused : element).focus({ preventScroll: true })
  }

  /** Note the height of a drawn row; returns true if another one was known, or guessed. */
  #measure(index, height) {
    if (index === undefined || height === 0) return false // not laid out
    this.#measured.set(this.#rows[index].key, height)
    return Math.abs(this.#heights.set(index, height)) >= 0.5
  }

  #rowsResized(entries) {
    let hasChanged = false
    for (const { target, borderBoxSize } of entries) {
      hasChanged = this.#measure(this.#indices.get(target.dataset.row), borderBoxSize[0].blockSize) || hasChanged
    }
    if (hasChanged) this.#schedule()
  }
}

function setHeight(spacer, height) {
  const text = `${Math.max(0, height)}px`
  if (spacer.style.height !== text) spacer.style.height = text
}
