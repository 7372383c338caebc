// The program's logger, whose own failures are no failure of the client.

import { reportToConsole } from '../platform.js';

function failed(error) {
  try {
    reportToConsole(error);
  } catch {
    // a console of the program's own, which fails as well
  }
}

/** Returns a logger that never throws: `info`, `warn` and `error` of this one, as far as it has them; null: null. */
export function safeLogger(logger) {
  if (logger === null) return null;
  const calling = (level) => (text) => {
    try {
      const result = logger[level]?.(text);
      if (typeof result?.then === 'function') result.then(null, failed);
    } catch (error) {
      failed(error);
    }
  };
  return { info: calling('info'), warn: calling('warn'), error: calling('error') };
}
