import { AccountChannel } from './net/account_channel.js'
import { Session } from './net/session.js'
import { clientMaker } from './net/sharing.js'
import { login } from './net/storage.js'
import { ChatView } from './view/chat.js'
import { signInView } from './view/sign_in.js'
import { applyTheme } from './view/theme.js'

const SIGNED_OUT = 'You were signed out. Sign in again.'
const root = document.getElementById('app')
let current = null // the account that is signed in
let last = null // the one before

applyTheme()
const makeClientFor = await clientMaker()
login.settle()
const kept = login.get()
if (kept) begin(kept)
else signInView(root, { onLogin: begin })

// Another tab has signed in again, as after a change of the password: so does this one.
addEventListener('storage', () => {
  const found = login.get()
  if (current === null && found && found.userId === last) begin(found)
})

/** `account`: `{ token, userId }`. */
function begin(account) {
  current = account
  last = account.userId
  let view = null
  const session = new Session({ token: account.token, makeClient: makeClientFor(account.userId), onSignedOut: (message) => end(message) })
  const channel = new AccountChannel(account.userId, () => signedOut(SIGNED_OUT))
  view = new ChatView(root, session, { onSignOut: signOut })
  session.start()

  function end(message) {
    if (current !== account) return
    current = null
    session.close()
    channel.close()
    view.close()
    login.clear(account.token)
    const other = login.get() // the password was changed in another tab
    if (other?.userId === account.userId) begin(other)
    else signInView(root, { onLogin: begin, message })
  }

  function signOut() {
    channel.signOut()
    signedOut('')
  }

  function signedOut(message) {
    session.api.post('/auth/logout').catch(() => {}) // the token is forgotten here in any case
    end(message)
  }
}
