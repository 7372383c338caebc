/** Events that hold presences, too, and so count after those that came before. */
const HOLD_PRESENCES = new Set(['READY', 'GUILD_CREATE', 'GUILD_MEMBERS_CHUNK'])

/**
 * Collects presences, which come by thousands when a large server's people come back, to be applied together: the state's map
 * of them is copied for each change.
 */
export class PresenceBuffer {
  #pending = new Map()

  /** Take a dispatch; returns true if it was a presence, and waits here. */
  take(name, data) {
    if (name !== 'PRESENCE_UPDATE') return false
    this.#pending.set(data.user.id, data.status)
    return true
  }

  /** True if a dispatch must not be applied before what waits. */
  precedes(name) {
    return this.#pending.size > 0 && HOLD_PRESENCES.has(name)
  }

  /** The action that applies what waits; null: nothing does. */
  action() {
    if (!this.#pending.size) return null
    const presences = this.#pending
    this.#pending = new Map()
    return { type: 'presences-changed', presences }
  }
}
