// Maps that are never changed in place, so that views compare by identity.

/** A copy of `map` with one entry more. */
export function withEntry(map, key, value) {
  return map.get(key) === value && map.has(key) ? map : new Map(map).set(key, value)
}

/** A copy of `map` without an entry. */
export function withoutEntry(map, key) {
  if (!map.has(key)) return map
  const copy = new Map(map)
  copy.delete(key)
  return copy
}
