// What the library takes from the browser or from Node.js: clocks, timers, chance, and news of the network.

const MAX_TIMER_MS = 2 ** 31 - 1;

/** The default platform. Tests pass another one with a clock of their own. */
export const platform = {
  /** Seconds of a monotonic clock. */
  now: () => performance.now() / 1000,
  /** Unix time in seconds. */
  date: () => Date.now() / 1000,
  /** Calls the function after so many seconds; returns the function that cancels that. */
  setTimer(seconds, call) {
    // Rounded up: a timer that fires a fraction of a millisecond too early would find nothing due.
    const id = setTimeout(call, Math.min(Math.max(0, Math.ceil(seconds * 1000)), MAX_TIMER_MS));
    return () => clearTimeout(id);
  },
  random: Math.random,
  /** Calls the function whenever the browser says that the network is back; returns the function that ends that. */
  onOnline(call) {
    if (typeof globalThis.addEventListener !== 'function') return () => {}; // Node.js says nothing of it
    const heard = () => call();
    globalThis.addEventListener('online', heard);
    return () => globalThis.removeEventListener('online', heard);
  },
};

/** Reports an error that no caller gets: to the console of a browser, and its `error` event. */
export function reportToConsole(error) {
  if (typeof globalThis.reportError === 'function') globalThis.reportError(error);
  else console.error(error);
}
