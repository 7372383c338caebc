// The options of a client, checked.

import { InvalidOption } from '../errors.js';
import { OutboxLimits } from '../lifecycle/outbox.js';
import { ReconnectPolicy } from '../lifecycle/retry-policy.js';
import { platform as defaultPlatform, reportToConsole } from '../platform.js';
import { Raw } from '../protocols/codec.js';
import { Protocol } from '../protocols/protocol.js';
import { checkUrl } from '../urls.js';
import { DurableOutbox } from './durable-outbox.js';
import { checkRotation } from './rotation.js';
import { safeLogger } from './safe-logger.js';

const NO_OUTBOX = { messages: 0 };

/** Checks a number of seconds, more than 0. Throws `InvalidOption`. */
export function checkSeconds(name, value) {
  if (!Number.isFinite(value) || value <= 0) throw new InvalidOption(`${name} must be a number of seconds > 0, not ${value}`);
  return value;
}

function checkKind(name, value, kind) {
  if (!(value instanceof kind)) throw new InvalidOption(`${name} must be a ${kind.name}`);
  return value;
}

/** Returns the limits of messages that are not kept, and the outbox of those that are; null: none are. */
function checkOutbox(value) {
  if (value === null) return { outbox: new OutboxLimits(NO_OUTBOX), durableOutbox: null };
  if (value instanceof DurableOutbox) return { outbox: new OutboxLimits(), durableOutbox: value };
  if (value instanceof OutboxLimits) return { outbox: value, durableOutbox: null };
  throw new InvalidOption('outbox must be an OutboxLimits, a DurableOutbox or null');
}

function checkToken(token, protocol) {
  if (token === null) return;
  if (typeof token !== 'string' && typeof token !== 'function') {
    throw new InvalidOption('token must be a string, or a function that returns one');
  }
  if (protocol.tokenPlace === null && !protocol.sendsToken) {
    throw new InvalidOption(
      'a browser sends no header, so the protocol must have a place for the token: a login, tokenPlace: new TokenQuery(), or another',
    );
  }
}

/** Returns the options with their defaults. Throws `InvalidOption` and `InvalidURL`. */
export function checkOptions(
  url,
  {
    token = null,
    protocol = new Raw(),
    subprotocols = [],
    openTimeout = 10,
    closeTimeout = 5,
    silenceTimeout = null,
    silenceOf = null,
    reconnect = new ReconnectPolicy(),
    rotation = null,
    outbox = new OutboxLimits(),
    onError = reportToConsole,
    logger = console,
    WebSocket = globalThis.WebSocket,
    platform = defaultPlatform,
    ...unknown
  } = {},
) {
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw new InvalidOption(`a client has no option ${name}`);
  if (typeof WebSocket !== 'function') {
    throw new InvalidOption('this JavaScript has no WebSocket: give WebSocket, such as that of the package ws');
  }
  checkKind('protocol', protocol, Protocol);
  checkToken(token, protocol);
  if (reconnect !== null) checkKind('reconnect', reconnect, ReconnectPolicy);
  if (silenceTimeout !== null) checkSeconds('silenceTimeout', silenceTimeout);
  if (silenceOf !== null && typeof silenceOf !== 'function') {
    throw new InvalidOption('silenceOf must be a function of a message, or null');
  }
  if (silenceOf !== null && silenceTimeout === null) throw new InvalidOption('silenceOf has no effect without silenceTimeout');
  return {
    url: typeof url === 'function' ? url : checkUrl(url),
    token,
    protocol,
    subprotocols: [...subprotocols],
    openTimeout: checkSeconds('openTimeout', openTimeout),
    closeTimeout: checkSeconds('closeTimeout', closeTimeout),
    silenceTimeout,
    silenceOf,
    reconnect,
    rotation: checkRotation(rotation, protocol),
    ...checkOutbox(outbox),
    onError,
    logger: safeLogger(logger),
    WebSocket,
    platform: { ...defaultPlatform, ...platform },
  };
}
