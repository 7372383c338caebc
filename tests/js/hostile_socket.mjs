// Sockets of a hostile server, in virtual time, and the chance that moves them.

/** Seconds after which a client may leave a socket that doesn't end: a page can't reset it. */
const GIVEN_UP = 0.99;
const CODES = [1006, 1000, 1001, 1008, 1011, 1013, 4000];
const REASONS = ['', 'token expired', 'too many connections'];

/** Returns random whole numbers below `count`, the same ones for a seed. */
export function randomOf(seed) {
  let number = seed * 7919 + 13;
  return (count) => (number = (number * 48271 + 11) % 2147483647) % count;
}

/**
 * Sockets of a server that answers late, never, or with an end; `got` is what it has read. `atMost`: the most there may be.
 * `feed(message)` sends it on all of them, on each after a time of its own; with `hasMutes` some of them bring nothing.
 */
export function socketsOf(random, clock, problems, { atMost = 1, hasMutes = false } = {}) {
  const sockets = [];
  const later = (tenths, call) => clock.setTimer(random(tenths) / 10, call);

  class HostileSocket {
    readyState = 0;
    bufferedAmount = 0;
    sent = [];
    got = [];
    isGivenUp = false;
    #isSlow = random(3) === 0;
    #acknowledges = random(4) !== 0;
    #readAt = 0;
    #lag = random(5) / 10;
    #isMute = hasMutes && random(4) === 0;

    constructor(url) {
      this.url = url;
      if (random(40) === 0) throw new TypeError('no socket');
      sockets.push(this);
      if (sockets.filter(({ readyState, isGivenUp }) => readyState < 3 && !isGivenUp).length > atMost) problems.push('too many sockets');
      const opens = random(6) !== 0;
      if (opens) later(30, () => (this.readyState === 0 ? this.#open() : this.#end(1006)));
      else if (random(3)) later(100, () => this.#end(1006));
      if (random(3) === 0) later(200, () => this.readyState === 1 && this.#end(CODES[random(CODES.length)], REASONS[random(3)]));
    }

    #open() {
      this.readyState = 1;
      this.onopen({});
    }

    #end(code, reason = '') {
      if (this.readyState === 3) return;
      this.readyState = 3;
      this.onclose({ code, reason, wasClean: code !== 1006 });
    }

    send(data) {
      if (this.readyState !== 1) problems.push(`sent in readyState ${this.readyState}`);
      this.sent.push(data);
      if (this.#isSlow) this.#readLater(data);
      else this.got.push(data);
      const { id } = JSON.parse(data);
      if (id && random(3)) later(40, () => this.readyState === 1 && this.onmessage({ data: JSON.stringify({ id }) }));
    }

    #readLater(data) {
      this.bufferedAmount += data.length;
      this.#readAt = Math.max(this.#readAt, clock.now()) + random(20) / 10;
      clock.setTimer(this.#readAt - clock.now(), () => {
        if (this.readyState !== 1) return;
        this.got.push(data);
        this.bufferedAmount -= data.length;
      });
    }

    feed(message) {
      if (this.readyState !== 1 || this.#isMute) return;
      clock.setTimer(this.#lag, () => this.readyState !== 3 && this.onmessage?.({ data: JSON.stringify(message) }));
    }

    close(code) {
      const wasOpening = this.readyState === 0;
      if (this.readyState > 1) return;
      this.readyState = 2;
      clock.setTimer(GIVEN_UP, () => {
        this.isGivenUp = true;
      });
      if (wasOpening) later(20, () => this.#end(1006));
      else if (this.#acknowledges) later(20, () => this.#acknowledge(code));
    }

    #acknowledge(code) {
      if (this.readyState !== 2) return;
      this.got = [...this.sent];
      this.#end(code);
    }
  }
  const feed = (message) => sockets.forEach((socket) => socket.feed(message));
  return { sockets, HostileSocket, feed };
}

/** Runs `live(seed)` for seeds of the command line, which returns what went wrong; prints that, and their number. */
export async function runLives(live) {
  const [first, count] = process.argv.slice(2).map(Number);
  for (let seed = first; seed < first + count; seed += 1) {
    const problems = await live(seed);
    if (problems.length > 0) console.log(`seed ${seed}: ${problems.slice(0, 4).join('; ')}`);
  }
  console.log(`${count} lives`);
}
