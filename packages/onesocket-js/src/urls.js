// URLs of WebSockets: checked, and shown without their secrets.

import { InvalidURL } from './errors.js';

const SCHEMES = { 'ws:': 'ws:', 'wss:': 'wss:', 'http:': 'ws:', 'https:': 'wss:' };

/** Returns the URL of a WebSocket; a relative one is read against the page. Throws `InvalidURL`. */
export function checkUrl(value) {
  if (typeof value !== 'string' && !(value instanceof URL)) {
    throw new InvalidURL(`the URL must be a string, not ${typeof value}`);
  }
  let url;
  try {
    url = new URL(value, globalThis.location?.href);
  } catch {
    throw new InvalidURL('the text is no URL of a WebSocket, such as wss://host/path'); // it may hold a secret
  }
  if (!(url.protocol in SCHEMES)) throw new InvalidURL(`a WebSocket has ws:// or wss://, not ${url.protocol}//`);
  if (url.hash) throw new InvalidURL('the URL of a WebSocket has no fragment (#)');
  if (url.username || url.password) {
    throw new InvalidURL('a browser sends no user info of the URL of a WebSocket; give a token, or a login');
  }
  return url.href.replace(url.protocol, SCHEMES[url.protocol]);
}

/** Returns the URL with this query parameter; one of the same name is replaced. */
export function withQuery(href, name, value) {
  const url = new URL(href);
  url.searchParams.set(name, value);
  return url.href;
}

/** Returns the URL without the values of its query, which may be secret. */
export function redact(href) {
  const url = new URL(href);
  for (const name of [...url.searchParams.keys()]) url.searchParams.set(name, '***');
  url.username = url.password = '';
  return url.href;
}
