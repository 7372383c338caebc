// The list of who is banned from a guild, for those who may lift bans.

import { show } from './dialogs.js'
import { fill, h, isolated } from './dom.js'

const MOST = 1_000 // the most that the server lists at once

/** Show who is banned from a guild, with a button for each that lifts the ban. */
export function showBans(session, guild) {
  const path = `/guilds/${guild.id}/bans`
  const status = h('p.hint', { role: 'status' }, 'Asking the server…')
  const list = h('ul.bans')
  load()
  return show(`Banned people of ${guild.name}`, () => [status, list], { wide: true })

  async function load() {
    const found = await session.attempt('bans', () => session.api.get(`${path}?limit=${MOST}`))
    if (!found) fill(status, 'The server did not say who is banned.')
    else if (!found.length) fill(status, 'Nobody is banned from ', isolated(guild.name), '.')
    else {
      fill(list, found.map(row))
      const text = 'Once a ban is lifted, its person can come back with an invite.'
      fill(status, found.length < MOST ? text : `${text} These are the first ${MOST}.`)
    }
  }

  // A row stays when its ban is lifted: the next one would move under a second click.
  function row({ user, reason }) {
    const lift = h('button', { type: 'button', 'aria-label': `Lift the ban of ${user.username}`, onclick: lifted }, 'Lift the ban')
    return h('li', {}, h('span', {}, isolated(user.username), h('br'), h('span.hint', {}, reason ? isolated(reason) : 'No reason was given')), lift)

    async function lifted() {
      if (lift.ariaDisabled) return
      lift.ariaDisabled = 'true'
      if (await session.attempt('lift', () => session.api.delete(`${path}/${user.id}`))) {
        const hadFocus = document.activeElement === lift
        const done = h('span.hint', { tabindex: '-1' }, 'Lifted')
        lift.replaceWith(done)
        if (hadFocus) done.focus()
        fill(status, isolated(user.username), ' can come back with an invite.')
      } else {
        lift.ariaDisabled = null
        fill(status, 'The ban of ', isolated(user.username), ' was not lifted.')
      }
    }
  }
}
