// Discord's ids (snowflakes) are decimal numbers beyond 2^53, so they stay strings.

/** Compare two ids; negative if `a` is older. */
export function compareIds(a, b) {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)
}

/** True if `a` is newer than `b`; everything is newer than null. */
export function isNewer(a, b) {
  return a != null && (b == null || compareIds(a, b) > 0)
}

/** The index of the first element of a sorted list whose id is not older than `id`. */
export function lowerBound(list, id) {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (compareIds(list[middle].id, id) < 0) low = middle + 1
    else high = middle
  }
  return low
}
