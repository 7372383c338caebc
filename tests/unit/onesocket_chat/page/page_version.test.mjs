import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isOutdated } from '../../../../packages/onesocket-chat/src/onesocket_chat/_page/web/assets/net/page_version.js'

test('the page knows that the server has another one', async () => {
  const serving = (text, status = 200) => async () => new Response(text, { status })
  assert.equal(await isOutdated(serving("export const VERSION = 'of this page'")), false)
  assert.equal(await isOutdated(serving("export const VERSION = 'of the next'")), true)
  assert.equal(await isOutdated(serving('{}', 404)), false) // an older server
  assert.equal(await isOutdated(async () => Promise.reject(new TypeError('no network'))), false)
})
