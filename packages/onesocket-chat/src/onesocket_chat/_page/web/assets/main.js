import { Session } from './net/session.js'
import { login } from './net/storage.js'
import { ChatView } from './view/chat.js'
import { signInView } from './view/sign_in.js'
import { applyTheme } from './view/theme.js'

const root = document.getElementById('app')

applyTheme()
const token = login.get()
if (token) begin(token)
else signInView(root, { onToken: begin })

function begin(token) {
  let view = null
  const session = new Session({ token, onSignedOut: (message) => end(message) })
  view = new ChatView(root, session, { onSignOut: signOut })
  session.start()

  function end(message) {
    session.close()
    view.close()
    login.clear()
    signInView(root, { onToken: begin, message })
  }

  async function signOut() {
    session.api.post('/auth/logout').catch(() => {}) // the token is forgotten here in any case
    end('')
  }
}
