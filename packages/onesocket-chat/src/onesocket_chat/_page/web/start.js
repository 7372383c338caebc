// Says what to do where a module does not come, as while the servers are being upgraded; a browser alone says nothing.

document.addEventListener(
  'error',
  ({ target }) => {
    const place = document.querySelector('#app .starting')
    if (target instanceof HTMLScriptElement && place) place.textContent = 'The page could not be loaded: the server may be restarting. Reload it in a moment.'
  },
  true, // these events don't bubble
)
