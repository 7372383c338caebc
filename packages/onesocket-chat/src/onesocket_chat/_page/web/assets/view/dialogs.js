import { append, h, iconButton, withShowButton } from './dom.js'

/**
 * Ask for one or several texts. Resolves with the values by name, or null. With `attempt(values, refuse)` it resolves with
 * that one's answer; without an answer the dialog stays, with what `refuse(sentence, fields)` was called with: `fields` has the
 * names of those that the server refuses.
 */
export function askFor(title, fields, { action = 'OK', text = '', attempt = null } = {}) {
  const inputs = fields.map(({ name, label, type = 'text', ...more }) => {
    const input = h('input', { id: `ask-${name}`, name, type, required: true, ...more })
    return [h('label', { for: input.id }, label), type === 'password' ? withShowButton(input) : input]
  })
  return show(title, (done) => {
    const error = h('p.form-error', { id: 'ask-error', role: 'alert' })
    const button = h('button.primary', { type: 'submit' }, action)
    const form = h('form', { onsubmit: submit }, text && h('p', {}, text), inputs, error,
      h('div.dialog-buttons', {}, h('button', { type: 'button', onclick: () => done(null) }, 'Cancel'), button))
    return form

    async function submit(event) {
      event.preventDefault()
      const values = Object.fromEntries(new FormData(form))
      if (!attempt) return done(values)
      if (button.disabled) return
      error.textContent = ''
      button.disabled = true
      const answer = await attempt(values, refuse)
      button.disabled = false
      if (answer !== null || !error.textContent) done(answer) // nothing to say: the login has ended
    }

    function refuse(sentence, wrong = {}) {
      if (!form.isConnected) return false // it was left meanwhile
      const all = fields.map(({ name }) => form.elements[name])
      const field = all.find((input) => input.name in wrong) ?? all[0]
      error.textContent = sentence
      for (const input of all) input.removeAttribute('aria-invalid')
      field.setAttribute('aria-invalid', 'true')
      field.setAttribute('aria-describedby', error.id)
      field.select()
      return true
    }
  })
}

/** Ask whether something shall be done. Resolves with true or false. */
export async function confirm(title, text, action) {
  const answer = await show(title, (done) => [
    h('p', {}, text),
    h('div.dialog-buttons', {}, h('button', { type: 'button', onclick: () => done(null) }, 'Cancel'), h('button.danger', { type: 'button', onclick: () => done(true) }, action)),
  ])
  return answer === true
}

let shown = 0 // dialogs so far: one may be over another, and each is named by its own title

/** Show something in a dialog. `content(done)` makes it; resolves with what `done` is called with, or null. */
export function show(title, content, { wide = false } = {}) {
  return new Promise((resolve) => {
    let result = null
    const titleId = `dialog-title-${++shown}`
    const before = document.activeElement
    const done = (value) => {
      result = value
      dialog.close()
    }
    const dialog = h(wide ? 'dialog.dialog.is-wide' : 'dialog.dialog', { 'aria-labelledby': titleId, onclose: closed, onclick: (event) => event.target === dialog && done(null) })
    append(dialog, [h('div.dialog-head', {}, h('h2', { id: titleId }, title), iconButton('close', 'Close', () => done(null))), h('div.dialog-body', {}, content(done))])
    document.body.append(dialog)
    dialog.showModal()
    dialog.querySelector('input, .dialog-body button')?.focus()

    function closed() {
      dialog.remove()
      if (before?.isConnected) before.focus()
      resolve(result)
    }
  })
}

const KEYS = [
  ['Enter, Shift+Enter', 'send; a new line'],
  ['↑ in an empty field', 'edit your last message'],
  ['Ctrl+K', 'go to a channel or a person'],
  ['Ctrl+F', 'search'],
  ['Alt+↑, Alt+↓', 'the channel above, below'],
  ['Alt+Shift+↑, Alt+Shift+↓', 'the unread channel above, below'],
  ['Escape', 'leave what is open; then to the newest messages'],
  ['F6', 'to the channels, the messages, the field'],
  ['↑ ↓ in the messages', 'from message to message'],
  ['R, E, Delete, +, U', 'reply, edit, delete, react, mark as unread: the message with the focus'],
  ['@, :', 'complete a name, an emoji'],
]

/** The list of keys. */
export function showKeys() {
  return show('Keys', () => h('dl.keys', {}, KEYS.map(([key, text]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, text)])))
}
