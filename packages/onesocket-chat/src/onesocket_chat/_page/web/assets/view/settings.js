// Settings of this browser and of the account.

import { hasDraft, login } from '../net/storage.js'
import { dayOf, plural } from '../text/format.js'
import { askFor, confirm, show, showKeys } from './dialogs.js'
import { fill, h } from './dom.js'
import { notificationsAreOn, notificationsProblem, setNotifications } from './attention.js'
import { setTheme, theme } from './theme.js'

/** Show the settings. `onToken()`: the password was changed; `onSignOut()`. */
export function showSettings(session, { onToken, onSignOut }) {
  return show('Settings', (done) => {
    const note = h('p.hint', { role: 'status', id: 'notifications-note' }, notificationsProblem())
    const notifications = h('input', { type: 'checkbox', id: 'notifications', 'aria-describedby': note.id, onchange: toggleNotifications })
    notifications.checked = notificationsAreOn()
    const themes = ['system', 'light', 'dark'].map((name) => {
      const radio = h('input', { type: 'radio', name: 'theme', value: name, id: `theme-${name}`, onchange: () => setTheme(name) })
      radio.checked = theme() === name
      return h('label.check', { for: radio.id }, radio, h('span', {}, { system: 'As the system', light: 'Light', dark: 'Dark' }[name]))
    })
    return [
      h('fieldset', {}, h('legend', {}, 'Colours'), themes),
      h('label.check', { for: 'notifications' }, notifications, h('span', {}, 'Notifications on the desktop, for mentions and direct messages')),
      note,
      h('div.dialog-buttons.is-stacked', {},
        h('button', { type: 'button', onclick: () => showKeys() }, 'Keys'),
        h('button', { type: 'button', onclick: () => showLogins(session, onSignOut) }, 'Where you are signed in'),
        h('button', { type: 'button', onclick: () => changePassword(session, onToken) }, 'Change the password'),
        h('button.danger', { type: 'button', onclick: () => (done(null), signOut(session, onSignOut)) }, 'Sign out')),
    ]

    async function toggleNotifications() {
      note.textContent = (await setNotifications(notifications.checked)) ?? ''
      notifications.checked = notificationsAreOn()
    }
  })
}

async function signOut(session, onSignOut) {
  const { me, outbox: { length: count } } = session.store.state
  const text = count
    ? `${plural(count, 'message')} of yours ${count === 1 ? 'was' : 'were'} not sent, and will be discarded.`
    : 'What you were writing was not sent, and will be discarded.'
  if ((!count && !hasDraft(me?.id)) || (await confirm('Sign out?', text, 'Sign out'))) onSignOut()
}

async function changePassword(session, onToken) {
  const fields = [
    { name: 'password', label: 'The old password', type: 'password', autocomplete: 'current-password' },
    { name: 'new_password', label: 'The new password', type: 'password', autocomplete: 'new-password', minlength: '8' },
  ]
  const remember = login.isRemembered // another tab may have forgotten the old one meanwhile
  await askFor('Change the password', fields, { action: 'Change it', text: 'Every other login ends.', attempt })

  /** Also if the dialog is closed meanwhile: the old token is void. */
  async function attempt(given, refuse) {
    const token = await session.changePassword(given, refuse)
    if (token === null) return null
    login.replace({ token, userId: session.store.state.me.id }, { remember })
    onToken()
    return token
  }
}

function showLogins(session, onSignOut) {
  const list = h('ul.logins')
  refresh()
  return show('Where you are signed in', () => [
    list,
    h('div.dialog-buttons', {}, h('button.danger', { type: 'button', onclick: everywhere }, 'Sign out everywhere')),
  ], { wide: true })

  async function refresh() {
    const answer = await session.attempt('logins', () => session.api.get('/auth/sessions'))
    fill(list, (answer?.user_sessions ?? []).map((one) => h('li', {},
      h('span', {}, programOf(one.client_info?.user_agent), one.current && ' (here)', h('br'), h('span.hint', {}, `last used on ${dayOf(Date.parse(one.approx_last_used_time))}`)),
      !one.current && h('button', { type: 'button', onclick: () => end(one.id_hash) }, 'End'))))
  }

  async function end(hash) {
    await session.attempt('logins', () => session.api.post('/auth/sessions/logout', { session_id_hashes: [hash] }))
    refresh()
  }

  async function everywhere() {
    await session.attempt('logins', () => session.api.post('/auth/sessions/logout', {}))
    onSignOut()
  }
}

function programOf(userAgent) {
  if (!userAgent) return 'A program'
  const browser = /(Firefox|Edg|Chrome|Safari)\//.exec(userAgent)?.[1]
  const system = /(Windows|Mac OS|Android|iPhone|Linux)/.exec(userAgent)?.[1]
  return browser ? `${browser.replace('Edg', 'Edge')}${system ? ` on ${system}` : ''}` : userAgent.slice(0, 60)
}
