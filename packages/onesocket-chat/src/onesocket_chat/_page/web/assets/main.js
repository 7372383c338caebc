import { AccountChannel } from './net/account_channel.js'
import { Api } from './net/api.js'
import { Session } from './net/session.js'
import { clientMaker } from './net/sharing.js'
import { forgetAccount, login } from './net/storage.js'
import { ChatView } from './view/chat.js'
import { signInView } from './view/sign_in.js'
import { applyTheme } from './view/theme.js'

const SIGNED_OUT = 'You were signed out. Sign in again.'
const root = document.getElementById('app')
let current = null // the account that is signed in, with what ends it: { account, leave() }
let last = null // the id of the one before
let kept = null // what `leave()` returned, for when the browser brings the page back

applyTheme()
const makeClientFor = await clientMaker()
login.settle()
start()

// Another tab has signed in again, as after a change of the password: so does this one.
addEventListener('storage', () => {
  const found = current === null && last && login.of(last)
  if (found) begin(found)
})

// A page that the browser may keep for its Back button holds no connection there, and begins anew when it is shown again.
addEventListener('pagehide', ({ persisted }) => persisted && current && (kept = current.leave()))
addEventListener('pageshow', ({ persisted }) => persisted && current === null && start())

function start() {
  const account = login.get()
  if (account) begin(account)
  else signInView(root, { onLogin: begin })
  kept = null // the account was left meanwhile
}

/** `account`: `{ token, userId }`. */
function begin(account) {
  last = account.userId
  login.use(account)
  let view = null
  const { files, drafts } = kept?.token === account.token ? kept : {}
  kept = null
  const session = new Session({ token: account.token, makeClient: makeClientFor(account.userId), onSignedOut: (message) => end(message), files })
  const channel = new AccountChannel(account.userId, () => signedOut(SIGNED_OUT))
  current = { account, leave }
  view = new ChatView(root, session, { onSignOut: signOut, drafts })
  session.start()

  /** Returns what only this page has: files can't be kept as texts are. */
  function leave() {
    current = null
    session.close()
    channel.close()
    view.close()
    return { token: account.token, files: session.unsentFiles, drafts: view.drafts }
  }

  function end(message) {
    if (current?.account !== account) return
    leave()
    login.clear(account.token)
    const other = login.of(account.userId) // the password was changed in another tab
    if (other) begin(other)
    else signInView(root, { onLogin: begin, message })
  }

  function signOut() {
    channel.signOut()
    signedOut('')
  }

  /** The user leaves: nothing is kept of what was written. The token is forgotten here in any case. */
  function signedOut(message) {
    for (const token of new Set([account.token, login.forget(account.userId)])) {
      if (token) new Api(token).post('/auth/logout').catch(() => {})
    }
    end(message)
    forgetAccount(account.userId)
  }
}
