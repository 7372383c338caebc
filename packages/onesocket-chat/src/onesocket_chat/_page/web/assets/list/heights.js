/** The heights of rows, and the sums of those before each: both in O(log n), by a Fenwick tree. */
export class Heights {
  #tree
  #heights

  /** `heights`: one number for each row. */
  constructor(heights) {
    this.#heights = Float64Array.from(heights)
    this.#tree = new Float64Array(this.#heights.length + 1)
    for (let at = 1; at <= this.#heights.length; at += 1) {
      this.#tree[at] += this.#heights[at - 1]
      const parent = at + (at & -at)
      if (parent <= this.#heights.length) this.#tree[parent] += this.#tree[at]
    }
  }

  get length() {
    return this.#heights.length
  }

  /** The height of all rows. */
  get total() {
    return this.offset(this.length)
  }

  get(index) {
    return this.#heights[index]
  }

  /** Change the height of a row; returns the difference. */
  set(index, height) {
    const difference = height - this.#heights[index]
    if (difference === 0) return 0
    this.#heights[index] = height
    for (let at = index + 1; at <= this.length; at += at & -at) this.#tree[at] += difference
    return difference
  }

  /** The height of the rows before `index`. */
  offset(index) {
    let sum = 0
    for (let at = Math.min(index, this.length); at > 0; at -= at & -at) sum += this.#tree[at]
    return sum
  }

  /** The row at this distance from the top; the first or the last one beyond the ends. */
  indexAt(offset) {
    let index = 0
    let left = offset
    let step = 1
    while (step * 2 <= this.length) step *= 2
    for (; step > 0; step >>= 1) {
      const next = index + step
      if (next <= this.length && this.#tree[next] <= left) {
        index = next
        left -= this.#tree[next]
      }
    }
    return Math.min(index, Math.max(0, this.length - 1))
  }
}
