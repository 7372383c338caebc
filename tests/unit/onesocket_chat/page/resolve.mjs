// The page's server has the client below the page; a checkout has it beside the page's distribution.

import { registerHooks } from 'node:module'

const SERVED = '/_page/web/assets/onesocket/'
const SOURCES = new URL('../../../../packages/onesocket-js/src/', import.meta.url)

registerHooks({
  resolve(specifier, context, nextResolve) {
    const { href } = new URL(specifier, context.parentURL ?? import.meta.url)
    if (href.endsWith('/_page/web/assets/version.js')) {
      return { url: "data:text/javascript,export const VERSION = 'of this page'", shortCircuit: true }
    }
    const [, path] = href.split(SERVED)
    return path === undefined ? nextResolve(specifier, context) : { url: new URL(path, SOURCES).href, shortCircuit: true }
  },
})
