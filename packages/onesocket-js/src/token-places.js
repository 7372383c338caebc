// Places of a token that a browser has: it can't send a header. A token in the first message is a `Login`.

import { withQuery } from './urls.js';

/** Token in the query of the URL, by default `?token=…`. Servers and proxies may log it: prefer short-lived ones. */
export class TokenQuery {
  constructor(name = 'token') {
    this.name = name;
  }

  put({ url, subprotocols }, token) {
    return { url: withQuery(url, this.name, token), subprotocols };
  }
}

/** Token as a sub-protocol beside the offered ones: `prefix` and the token, which must be a token of RFC 9110. */
export class TokenSubprotocol {
  constructor(prefix = 'bearer.') {
    this.prefix = prefix;
  }

  put({ url, subprotocols }, token) {
    return { url, subprotocols: [...subprotocols, this.prefix + token] };
  }
}
