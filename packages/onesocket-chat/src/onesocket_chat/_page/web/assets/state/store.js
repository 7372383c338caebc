import { initialState, reduce } from './reducer.js'

/** Holds the state, and tells its listeners about a change: once for all actions of one turn. */
export class Store {
  #listeners = new Set()
  #isScheduled = false
  #schedule

  /** `schedule(callback)`: when listeners are called; by default with the next frame, or soon in a hidden tab. */
  constructor({ state = initialState(), schedule = beforeNextFrame } = {}) {
    this.state = state
    this.#schedule = schedule
  }

  /** Derive the next state. */
  dispatch(action) {
    const next = reduce(this.state, action)
    if (next === this.state) return
    this.state = next
    if (!this.#isScheduled) {
      this.#isScheduled = true
      this.#schedule(() => this.flush())
    }
  }

  /** Tell the listeners now. */
  flush() {
    this.#isScheduled = false
    for (const listener of [...this.#listeners]) listener(this.state)
  }

  /** Call `listener(state)` after changes; returns a function that ends it. */
  subscribe(listener) {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

function beforeNextFrame(callback) {
  let isDone = false
  const run = () => {
    if (isDone) return
    isDone = true
    callback()
  }
  // A tab that is hidden meanwhile has no next frame, but a title that tells of new messages.
  const isVisible = document.visibilityState === 'visible'
  if (isVisible) requestAnimationFrame(run)
  setTimeout(run, isVisible ? 250 : 30)
}
