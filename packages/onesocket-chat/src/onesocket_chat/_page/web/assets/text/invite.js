// An invite: its link, and what somebody pasted as one.

/** The code: the text itself, or the last part of a link's path. It is not checked. */
export function inviteCode(text) {
  const given = text.trim()
  return given.includes('/') ? given.replace(/[?#].*$/s, '').replace(/\/+$/, '').split('/').at(-1) : given
}

/** The link that leads to the page with an invite. */
export function inviteLink(code) {
  return `${location.origin}/invite/${encodeURIComponent(code)}`
}

/** The code in the page's address; null: it is no link of an invite. */
export function invitedBy({ pathname } = location) {
  const found = /^\/invite\/([^/]+)\/?$/.exec(pathname)
  try {
    return found && decodeURIComponent(found[1])
  } catch {
    return null
  }
}

/** The invite in the page's address was used, or is not wanted. */
export function forgetInvite() {
  if (invitedBy() !== null) history.replaceState(null, '', '/')
}
