import { Api, ApiError } from '../net/api.js'
import { login } from '../net/storage.js'
import { fill, h } from './dom.js'

/** The form to sign in or to register. `onToken(token)` is called with a valid one. */
export function signInView(root, { onToken, message = '' }) {
  let isNew = false
  const error = h('p.form-error', { role: 'alert', id: 'form-error' }, message)
  const name = h('input', { id: 'name', name: 'username', autocomplete: 'username', required: true, maxlength: '32', autocapitalize: 'none', spellcheck: 'false' })
  const password = h('input', { id: 'password', name: 'password', type: 'password', autocomplete: 'current-password', required: true, maxlength: '256' })
  const hint = h('p.hint', { id: 'password-hint', hidden: true }, 'At least 8 characters.')
  const remember = h('input', { type: 'checkbox', id: 'remember' })
  const submit = h('button.primary', { type: 'submit' }, 'Sign in')
  const title = h('h1', {}, 'Sign in')
  const other = h('button.link', { type: 'button', onclick: toggle }, 'Create an account')
  const question = h('span', {}, 'New here? ')
  const form = h('form', { novalidate: true, onsubmit: send, 'aria-describedby': 'form-error' },
    title, error,
    h('label', { for: 'name' }, 'Name'), name,
    h('label', { for: 'password' }, 'Password'), password, hint,
    h('label.check', { for: 'remember' }, remember, h('span', {}, 'Stay signed in on this computer')),
    submit,
    h('p.switch', {}, question, other))
  fill(root, h('main.sign-in', {}, h('div.brand', { 'aria-hidden': 'true' }, 'onesocket'), form))
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
    name.focus()
  }

  async function send(event) {
    event.preventDefault()
    const problem = check()
    if (problem) return show(...problem)
    submit.disabled = true
    submit.setAttribute('aria-busy', 'true')
    try {
      const api = new Api()
      const { token } = isNew
        ? await api.post('/auth/register', { username: name.value.trim(), password: password.value })
        : await api.post('/auth/login', { login: name.value.trim(), password: password.value })
      login.set(token, { remember: remember.checked })
      onToken(token)
    } catch (problem) {
      if (!(problem instanceof ApiError)) throw problem
      show(problem.message, problem.fields.password && !problem.fields.login ? password : name)
    } finally {
      submit.disabled = false
      submit.removeAttribute('aria-busy')
    }
  }

  function check() {
    const given = name.value.trim()
    if (!given) return ['Type your name.', name]
    if (isNew && given.length < 2) return ['A name has at least 2 characters.', name]
    if (!password.value) return ['Type your password.', password]
    if (isNew && password.value.length < 8) return ['A password has at least 8 characters.', password]
    return null
  }

  function show(text, field) {
    error.textContent = text
    for (const one of [name, password]) one.toggleAttribute('aria-invalid', false)
    field.setAttribute('aria-invalid', 'true')
    field.focus()
    return false
  }
}
