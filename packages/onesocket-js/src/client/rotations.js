// The rotations of one client: each is a successor that is subscribed and catches up, and an overlap of messages.

import { Overlap } from './overlap.js';
import { RotationWatch } from './rotation-watch.js';
import { Successor } from './successor.js';

/** Parts of the present rotation, for the runner, and the watch that starts rotations. */
export class Rotations {
  #rotation;
  #platform;
  #parts;
  #publish;
  #dispatch;
  #logger;
  #overlap = null;
  #successor = null;
  /** `{attempt, ready}` of the successor once it is logged in, until it is authoritative. */
  #ready = null;
  #newAttempt = null;
  /** `{attempt, writer, sent}` of the connection whose place a successor has taken. */
  #drained = null;
  #cancelLinger = null;
  /** True if another rotation begins as soon as the predecessor is gone. */
  #awaitsNext = false;

  /** `parts`: `sender`, `requests`, `keys` and `report` of the client; `publish(message, {hears})`; `rotate()` begins one. */
  constructor(options, { parts, publish, dispatch, rotate }) {
    this.#rotation = options.rotation;
    this.#platform = options.platform;
    this.#logger = options.logger;
    this.#parts = parts;
    this.#publish = publish;
    this.#dispatch = dispatch;
    this.watch = new RotationWatch(options, { rotate, report: parts.report });
  }

  /** Puts a rotation off until the predecessor of the connection is gone; false: there is none. */
  defer() {
    this.#awaitsNext = this.#drained !== null;
    return this.#awaitsNext;
  }

  /** The `KeyConnection` of the successor; undefined: there is none. */
  get successorKeys() {
    return this.#successor?.source ?? undefined;
  }

  /** Takes a message of an attempt. */
  received(attempt, message) {
    if (this.#overlap === null) this.#publish(message, { hears: true });
    else if (attempt === this.#newAttempt) this.#overlap.takeNew(message);
    else this.#overlap.takeOld(message);
  }

  // --- until a successor takes over ---------------------------------------------------------------------------------------

  /** Begins the overlap of messages with this successor. */
  begin(attempt) {
    this.#stopLingering();
    this.#overlap = this.#makeOverlap();
    this.#newAttempt = attempt;
  }

  /** Subscribes the successor, and lets it catch up. */
  loggedIn(attempt, ready) {
    const { sender, keys } = this.#parts;
    this.#ready = { attempt, ready };
    const source = keys?.fork(() => this.#successor?.sourceChanged()) ?? null;
    this.#successor = new Successor({
      epoch: attempt.epoch,
      first: ready.first,
      source,
      pace: attempt.protocol.pace,
      overlap: this.#rotation.overlap,
      messages: this.#overlap,
      platform: this.#platform,
      dispatch: this.#dispatch,
      makeWriter: (onLook) => sender.makeWriter(attempt, { onLook }),
    });
    this.#successor.flush();
  }

  // --- upon and after that --------------------------------------------------------------------------------------------------

  /** The successor takes the place of a connection; null: that is gone. */
  takeOver(old) {
    this.#successor?.end(); // after a loss it is ready by its login
    if (old === null) return;
    const { sender, requests } = this.#parts;
    const sent = requests?.sentBefore(this.successorKeys) ?? [];
    this.#drained = { attempt: old, writer: sender.detach(), sent };
  }

  /** Returns the report of this attempt's login, if it was the successor then; null: it wasn't, or isn't logged in. */
  readyOf(attempt) {
    return this.#ready?.attempt === attempt ? this.#ready.ready : null;
  }

  /** Lets the sender send on the successor that has become authoritative; false: it was not subscribed as one. */
  attach(attempt) {
    const successor = this.#successor;
    const wasSubscribed = this.readyOf(attempt) !== null;
    this.#successor = this.#ready = null;
    if (successor === null || !wasSubscribed) return false;
    const { sender, keys } = this.#parts;
    keys?.adoptFork();
    sender.setPace(attempt.protocol.pace);
    sender.attach(successor.writer, successor.first);
    return true;
  }

  /** Delivers the messages of the successor from now on; `hasPredecessor`: its predecessor is not gone yet. */
  switch({ hasPredecessor, isSeamless }) {
    this.watch.begin();
    if (this.#overlap === null || this.#overlap.hasSwitched) return;
    this.#overlap.switch({ isSeamless });
    if (!hasPredecessor) this.#beginLingering();
  }

  /** Nothing is left of an attempt; `present`: the authoritative one, `side`: the one beside it. */
  gone(attempt, error, { isClean, present, side }) {
    const wasPredecessor = this.#drained?.attempt === attempt;
    if (wasPredecessor) this.#drainedGone(error, isClean);
    if (present === null) {
      this.watch.stop();
      if (side === null) this.#endAll();
    } else if (this.#overlap !== null && present !== attempt) {
      if (this.#overlap.hasSwitched) this.#beginLingering();
      else if (!wasPredecessor) this.#giveUp(); // else the present one is the successor, whose login goes on after a loss
    }
  }

  #drainedGone(error, isClean) {
    const { writer, sent } = this.#drained;
    const { sender, requests } = this.#parts;
    this.#drained = null;
    if (writer !== null) sender.settleEnded(writer, { isClean });
    requests?.lose(sent, error);
    if (!this.#awaitsNext) return;
    this.#awaitsNext = false;
    this.watch.rotateAfter(0);
  }

  /** Logs that a rotation failed, and tries again later. */
  failed(error, shownUrl) {
    this.#logger?.warn(`onesocket: ${shownUrl}: no rotation: ${error}; the connection stays`);
    this.watch.failed();
  }

  #makeOverlap() {
    return new Overlap({
      publish: this.#publish,
      identity: this.#rotation.identity,
      takeAnswer: (message) => this.#takeAnswer(message),
      report: this.#parts.report,
      now: this.#platform.now,
      late: this.#overlap?.late,
    });
  }

  /** Takes an answer to what was sent on the successor; true: no reader wants it. */
  #takeAnswer(message) {
    if (this.#successor === null) return false;
    if (this.#parts.requests?.received(message)) return true;
    this.#successor.source?.received(message);
    return false;
  }

  /** The successor is gone: the present connection goes on alone. */
  #giveUp() {
    this.#endSuccessor();
    this.#overlap = this.#makeOverlap();
    this.#newAttempt = null;
    this.#beginLingering();
  }

  #endAll() {
    this.#stopLingering();
    this.#endSuccessor();
    this.#overlap = this.#newAttempt = null;
  }

  #endSuccessor() {
    this.#successor?.end();
    this.#successor = this.#ready = null;
    this.#parts.keys?.endFork();
  }

  /** The other one is gone: copies of its last messages may still come, a little later, and behind others. */
  #beginLingering() {
    this.#stopLingering();
    this.#cancelLinger = this.#platform.setTimer(this.#rotation.overlap, () => {
      this.#cancelLinger = this.#overlap = this.#newAttempt = null;
    });
  }

  #stopLingering() {
    this.#cancelLinger?.();
    this.#cancelLinger = null;
  }
}
