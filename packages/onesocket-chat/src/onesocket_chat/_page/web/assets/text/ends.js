const BACKTICKS = /`+/y

/** Finds the ends of marks; a mark without an end is looked for once. */
export class Ends {
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
      const found = backticksAt(this.#text, at)
      if (found === length) return at
      at = this.find('`', at + found)
    }
    this.#absentFrom.set(mark, from)
    return -1
  }

  /** A single `mark` (one character): one that is no half of a double one. */
  findSingle(mark, from) {
    const name = `single ${mark}`
    if (from >= (this.#absentFrom.get(name) ?? Infinity)) return -1
    for (let at = this.find(mark, from); at >= 0; at = this.find(mark, at + 2)) {
      if (this.#text[at + 1] !== mark) return at
    }
    this.#absentFrom.set(name, from)
    return -1
  }
}

/** The length of the run of backticks at this place. */
export function backticksAt(text, at) {
  BACKTICKS.lastIndex = at
  return BACKTICKS.exec(text)?.[0].length ?? 0
}
