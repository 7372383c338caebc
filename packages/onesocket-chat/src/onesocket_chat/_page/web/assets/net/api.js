// The HTTP API, with errors in sentences for people.

const BASE = '/api/v10'
const TIMEOUT_MS = 20_000
const MAX_WAITS = 5

/** A request that failed; its message is for people. */
export class ApiError extends Error {
  /** `status`: 0 if no answer came. `fields`: sentences by the names of form fields. */
  constructor(message, { status = 0, code = 0, fields = {} } = {}) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.code = code
    this.fields = fields
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

  get(path) {
    return this.request('GET', path)
  }

  post(path, body = {}) {
    return this.request('POST', path, body)
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

  /** Send a request; waits out rate limits. `body`: JSON, or a FormData. Throws `ApiError`. */
  async request(method, path, body, { timeout = TIMEOUT_MS } = {}) {
    for (let waits = 0; ; waits += 1) {
      const response = await this.#send(method, path, body, timeout)
      const answer = await readJson(response)
      if (response.ok && answer === undefined) throw new ApiError('The server’s answer broke off.')
      if (response.ok) return answer
      if (response.status === 429 && waits < MAX_WAITS && answer?.retry_after <= 15 && !path.startsWith('/auth/')) {
        await new Promise((resolve) => setTimeout(resolve, answer.retry_after * 1000 + 50))
        continue
      }
      throw errorOf(response.status, answer)
    }
  }

  async #send(method, path, body, timeout) {
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
        signal: AbortSignal.timeout(timeout),
      })
    } catch (error) {
      if (error.name === 'TimeoutError') throw new ApiError('The server did not answer in time.')
      throw new ApiError('The server can’t be reached.')
    }
  }
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
  USERNAME_INVALID: 'A name may not contain @ # : ` or begin or end with a space.',
  BASE_TYPE_REQUIRED: 'This field is required.',
  PASSWORD_DOES_NOT_MATCH: 'This is not your password.',
}
const CODES = {
  10003: 'This channel does not exist any more.',
  10004: 'This server does not exist any more.',
  10006: 'This invite is not valid, or has expired.',
  10008: 'This message was deleted.',
  10013: 'There is no such person.',
  40007: 'You are banned from this server.',
  50001: 'You have no access here.',
  50005: 'Only its author can change a message.',
  50006: 'A message can’t be empty.',
  50007: 'No messages can be sent to this person.',
  50013: 'You may not do this here.',
}

function errorOf(status, answer) {
  const code = answer?.code ?? 0
  const fields = fieldSentences(answer?.errors)
  const options = { status, code, fields }
  if (status === 401) return new ApiError('You are signed out. Sign in again.', options)
  if (status === 403 && code === 0) return new ApiError('This page may not use the server. Open the address that it prints.', options)
  if (status === 413) return new ApiError('This is too large for the server.', options)
  if (status === 429) {
    const seconds = Math.ceil(answer?.retry_after ?? 1)
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
