/** Tells the other tabs of an account that the user signs out. */
export class AccountChannel {
  #channel = null

  /** `onSignedOut()`: the user has signed out in another tab. */
  constructor(userId, onSignedOut) {
    try {
      this.#channel = new BroadcastChannel(`onesocket chat ${userId}`)
      this.#channel.onmessage = () => onSignedOut()
    } catch {
      // Storage is blocked: tabs know nothing of each other.
    }
  }

  signOut() {
    this.#channel?.postMessage('signed-out')
  }

  close() {
    this.#channel?.close()
  }
}
