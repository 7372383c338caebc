// What somebody pasted as an invite.

/** The code: the text itself, or the last part of a link's path. It is not checked. */
export function inviteCode(text) {
  const given = text.trim()
  return given.includes('/') ? given.replace(/[?#].*$/s, '').replace(/\/+$/, '').split('/').at(-1) : given
}
