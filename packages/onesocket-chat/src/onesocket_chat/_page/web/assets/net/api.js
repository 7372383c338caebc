// The HTTP API, with errors in sentences for people.

const BASE = '/api/v10'
const TIMEOUT_MS = 20_000
const MAX_WAITS = 5
const MAX_WAIT = 15 // seconds
const CANCELLED = { isCancelled: true }

/** A request that failed; its message is for people. */
export class ApiError extends Error {
  /**
   * `status`: 0 if no answer came. `fields`: sentences by the names of form fields. `retryAfter`: seconds until the server
   * may be asked again. `isCancelled`: whoever asked wants no answer any more.
   */
  constructor(message, { status = 0, code = 0, fields = {}, retryAfter = 0, isCancelled = false } = {}) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.code = code
    this.fields = fields
    this.retryAfter = retryAfter
    this.isCancelled = isCancelled
  }

  /** True if the same request may succeed later. */
  get retryable() {
    return this.status === 0 || this.status === 429 || this.status >= 500
  }

  /** True if the token is void. */
  get isUnauthorized() {
    return this.status === 401
  }
}

/** Sends requests with a token in their header, never in an address or a cookie. */
export class Api {
  #token
  #fetch

  constructor(token = null, { fetch = globalThis.fetch.bind(globalThis) } = {}) {
    this.#token = token
    this.#fetch = fetch
  }

  get(path, options) {
    return this.request('GET', path, undefined, options)
  }

  post(path, body = {}, options) {
    return this.request('POST', path, body, options)
  }

  put(path, body) {
    return this.request('PUT', path, body)
  }

  patch(path, body) {
    return this.request('PATCH', path, body)
  }

  delete(path) {
    return this.request('DELETE', path)
  }

  /**
   * Send a request; waits out rate limits of up to `maxWait` seconds. `body`: JSON, or a FormData. `signal` cancels it.
   * Throws `ApiError`.
   */
  async request(method, path, body, { timeout = TIMEOUT_MS, signal = null, maxWait = MAX_WAIT } = {}) {
    for (let waits = 0; ; waits += 1) {
      if (signal?.aborted) throw new ApiError('', CANCELLED)
      const response = await this.#send(method, path, body, timeout, signal)
      const answer = await readJson(response)
      if (signal?.aborted) throw new ApiError('', CANCELLED)
      if (response.ok && answer === undefined) throw new ApiError('The server’s answer broke off.')
      if (response.ok) return answer
      const retryAfter = retryAfterOf(response, answer)
      if (response.status === 429 && waits < MAX_WAITS && retryAfter <= maxWait && !path.startsWith('/auth/')) {
        await untilAborted(signal, retryAfter * 1_000 + 50)
        continue
      }
      throw errorOf(response.status, answer, retryAfter)
    }
  }

  async #send(method, path, body, timeout, signal) {
    const headers = {}
    if (this.#token) headers.Authorization = this.#token
    const isForm = body instanceof FormData
    if (body !== undefined && !isForm) headers['Content-Type'] = 'application/json'
    try {
      return await this.#fetch(BASE + path, {
        method,
        headers,
        body: body === undefined || isForm ? body : JSON.stringify(body),
        cache: 'no-store',
        credentials: 'omit',
        signal: withTimeout(signal, timeout),
      })
    } catch (error) {
      if (signal?.aborted) throw new ApiError('', CANCELLED)
      if (error.name === 'TimeoutError') throw new ApiError('The server did not answer in time.')
      throw new ApiError('The server can’t be reached.')
    }
  }
}

/** A signal that is aborted by `signal` (or null), or after `ms`: `AbortSignal.any()`, which browsers of 2023 don't have. */
function withTimeout(signal, ms) {
  const either = new AbortController()
  for (const one of [signal, AbortSignal.timeout(ms)]) one?.addEventListener('abort', () => either.abort(one.reason), { once: true })
  return either.signal
}

/** Resolves after `ms`, or as soon as `signal` (or null) is aborted. */
function untilAborted(signal, ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
}

/** The body of an answer; null: it has none; undefined: it did not come whole, or is something else than JSON. */
async function readJson(response) {
  if (response.status === 204) return null
  try {
    return await response.json()
  } catch {
    return undefined
  }
}

const SENTENCES = {
  INVALID_LOGIN: 'The name or the password is wrong.',
  USERNAME_ALREADY_TAKEN: 'This name is taken. Choose another one.',
  USERNAME_INVALID: 'A name begins with something to see, ends without a space, and has none of @ # : ` in it, nor what is invisible.',
  BASE_TYPE_REQUIRED: 'This field is required.',
  PASSWORD_DOES_NOT_MATCH: 'This is not your password.',
}
const CODES = {
  10003: 'This channel does not exist any more.',
  10004: 'This server does not exist any more.',
  10006: 'This invite is not valid, or has expired.',
  10008: 'This message was deleted.',
  10013: 'There is no such person.',
  10026: 'This ban is lifted already.',
  40007: 'You are banned from this server.',
  50001: 'You have no access here.',
  50005: 'Only its author can change a message.',
  50006: 'A message can’t be empty.',
  50007: 'No messages can be sent to this person.',
  50013: 'You may not do this here.',
}

/** Seconds until the server may be asked again: by its answer, or by the header of a proxy before it; 0: it says nothing. */
function retryAfterOf(response, answer) {
  const header = response.headers.get('Retry-After')
  const seconds = answer?.retry_after ?? (/^\d+$/.test(header ?? '') ? Number(header) : (Date.parse(header) - Date.now()) / 1_000)
  if (seconds > 0) return seconds
  return response.status === 429 ? 1 : 0
}

function errorOf(status, answer, retryAfter) {
  const code = answer?.code ?? 0
  const fields = fieldSentences(answer?.errors)
  const options = { status, code, fields, retryAfter }
  if (status === 401) return new ApiError('You are signed out. Sign in again.', options)
  if (status === 403 && code === 0) return new ApiError('This page may not use the server. Open the address that it prints.', options)
  if (status === 413) return new ApiError('This is too large for the server.', options)
  if (status === 429) {
    const seconds = Math.ceil(retryAfter)
    return new ApiError(`Too many tries. Wait ${seconds} second${seconds === 1 ? '' : 's'}.`, options)
  }
  if (status >= 500) return new ApiError('The server has a problem. Try again later.', options)
  const text = Object.values(fields)[0] ?? CODES[code] ?? answer?.message ?? `The server answered ${status}.`
  return new ApiError(text, options)
}

/** The errors of a form in Discord's nesting: `{ username: { _errors: [{ code, message }] } }`. */
function fieldSentences(errors) {
  const found = {}
  for (const [name, value] of Object.entries(errors ?? {})) {
    const [first] = value?._errors ?? []
    if (first) found[name] = SENTENCES[first.code] ?? first.message
    else if (value && typeof value === 'object') {
      const [inner] = Object.values(fieldSentences(value))
      if (inner) found[name] = inner
    }
  }
  return found
}
