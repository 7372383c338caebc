import { Api, ApiError } from '../net/api.js'
import { login } from '../net/storage.js'
import { forgetInvite, inviteCode, invitedBy } from '../text/invite.js'
import { fill, h, withShowButton } from './dom.js'

const REGISTRATION = {
  invite: 'This server takes new accounts by invite only. Paste yours below: its code, or the whole link.',
  closed: 'This server takes no new accounts. Ask its owner for one.',
}

/** The form to sign in or to register. `onLogin({ token, userId })` is called with a valid login. */
export function signInView(root, { onLogin, message = '' }) {
  let isNew = false
  const error = h('p.form-error', { role: 'alert', id: 'form-error' }, message)
  const name = h('input', { id: 'name', name: 'username', autocomplete: 'username', required: true, maxlength: '64', autocapitalize: 'none', spellcheck: 'false' })
  const password = h('input', { id: 'password', name: 'password', type: 'password', autocomplete: 'current-password', required: true })
  const hint = h('p.hint', { id: 'password-hint', hidden: true }, 'At least 8 characters, and none of those that everybody would guess.')
  const notice = h('p.hint', { id: 'registration-hint', role: 'status', hidden: true })
  const invite = h('input', { id: 'invite', name: 'invite', autocomplete: 'off', maxlength: '200', autocapitalize: 'none', spellcheck: 'false' })
  const inviteLabel = h('label', { for: 'invite' }, 'Invite')
  const remember = h('input', { type: 'checkbox', id: 'remember', 'aria-describedby': 'remember-hint' })
  const submit = h('button.primary', { type: 'submit' }, 'Sign in')
  const title = h('h1', {}, 'Sign in')
  const other = h('button.link', { type: 'button', onclick: toggle }, 'Create an account')
  const question = h('span', {}, 'New here? ')
  const form = h('form', { novalidate: true, onsubmit: send, 'aria-describedby': 'form-error' },
    title, notice, error,
    h('label', { for: 'name' }, 'Name'), name,
    h('label', { for: 'password' }, 'Password'), withShowButton(password), hint, inviteLabel, invite,
    h('label.check', { for: 'remember' }, remember, h('span', {}, 'Stay signed in on this device')),
    h('p.hint', { id: 'remember-hint' }, 'Not where others use this browser, too. There, sign out when you leave.'),
    submit,
    h('p.switch', {}, question, other))
  fill(root, h('main.sign-in', {}, h('div.brand', { 'aria-hidden': 'true' }, 'onesocket'), form))
  showInvite(false)
  invite.value = invitedBy() ?? ''
  if (invite.value) {
    notice.textContent = 'You have an invite. Sign in, or create an account.'
    notice.hidden = false
  }
  document.title = 'Sign in · onesocket chat'
  name.focus()

  function toggle() {
    isNew = !isNew
    title.textContent = submit.textContent = isNew ? 'Create an account' : 'Sign in'
    other.textContent = isNew ? 'Sign in' : 'Create an account'
    question.textContent = isNew ? 'Have an account? ' : 'New here? '
    hint.hidden = !isNew
    password.autocomplete = isNew ? 'new-password' : 'current-password'
    if (isNew) password.setAttribute('aria-describedby', 'password-hint')
    else password.removeAttribute('aria-describedby')
    error.textContent = ''
    notice.hidden = true
    showInvite(false)
    if (isNew) readRegistration()
    name.focus()
  }

  /** Say who may register here, and ask for an invite where one is needed. */
  async function readRegistration() {
    let found
    try {
      found = await new Api().get('/auth/registration')
    } catch (problem) {
      if (!(problem instanceof ApiError)) throw problem
      return // an older server has no such route, and takes everybody
    }
    if (!isNew) return
    const text = REGISTRATION[found?.registration]
    notice.textContent = text ?? ''
    notice.hidden = !text
    showInvite(found?.registration === 'invite')
  }

  function showInvite(isShown) {
    invite.hidden = inviteLabel.hidden = !isShown
  }

  async function send(event) {
    event.preventDefault()
    const problem = check()
    if (problem) return show(...problem)
    submit.disabled = true
    submit.setAttribute('aria-busy', 'true')
    try {
      const api = new Api()
      const { token, user_id: userId } = isNew
        ? await api.post('/auth/register', registration())
        : await api.post('/auth/login', { login: name.value.trim(), password: password.value })
      if (isNew && !invite.hidden) forgetInvite() // it was used
      login.set({ token, userId }, { remember: remember.checked })
      onLogin({ token, userId })
    } catch (problem) {
      if (!(problem instanceof ApiError)) throw problem
      if (problem.fields.invite) showInvite(true)
      show(problem.message, fieldOf(problem.fields))
    } finally {
      submit.disabled = false
      submit.removeAttribute('aria-busy')
    }
  }

  function registration() {
    const code = invite.hidden ? '' : inviteCode(invite.value)
    return { username: name.value.trim(), password: password.value, ...(code && { invite: code }) }
  }

  function fieldOf({ login: wrong, username, password: weak, invite: refused }) {
    if (wrong || username) return name
    if (weak) return password
    return refused ? invite : name
  }

  function check() {
    const given = name.value.trim()
    if (!given) return ['Type your name.', name]
    if (isNew && given.length < 2) return ['A name has at least 2 characters.', name]
    if (isNew && [...given].length > 32) return ['A name has at most 32 characters.', name]
    if (!password.value) return ['Type your password.', password]
    if (isNew && password.value.length < 8) return ['A password has at least 8 characters.', password]
    if (isNew && [...password.value].length > 256) return ['A password has at most 256 characters.', password]
    if (isNew && !invite.hidden && !invite.value.trim()) return ['Paste the invite that you were given.', invite]
    return null
  }

  function show(text, field) {
    error.textContent = text
    for (const one of [name, password, invite]) one.toggleAttribute('aria-invalid', false)
    field.setAttribute('aria-invalid', 'true')
    field.focus()
    return false
  }
}
