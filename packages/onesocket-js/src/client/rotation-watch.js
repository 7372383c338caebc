// Starts rotations: by the age of the connection, and when the server announces its close.

/** Fraction of the age that is subtracted at random, so that clients don't all come at once. */
const AGE_JITTER = 0.1;

/** Calls `rotate` when a connection is as old as the option says, and upon a message that announces its end. */
export class RotationWatch {
  #rotation;
  #platform;
  #rotate;
  #report;
  #hasReported = false;
  #cancelTimer = null;

  constructor({ rotation, platform }, { rotate, report }) {
    this.#rotation = rotation;
    this.#platform = platform;
    this.#rotate = rotate;
    this.#report = report;
  }

  /** Begins with a connection that is up. */
  begin() {
    const { age } = this.#rotation;
    if (age !== null) this.rotateAfter(age * (1 - AGE_JITTER * this.#platform.random()));
  }

  /** Tries again later, as the rotation failed. */
  failed() {
    this.rotateAfter(this.#rotation.retry);
  }

  /** Rotates after so many seconds. */
  rotateAfter(seconds) {
    this.stop();
    const fire = () => {
      this.#cancelTimer = null;
      this.#rotate();
    };
    this.#cancelTimer = this.#platform.setTimer(seconds, fire);
  }

  /** Rotates no more, as the connection is down. */
  stop() {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  /** Looks for an announcement in a message that is delivered. */
  look(message) {
    const { announced } = this.#rotation;
    try {
      if (announced?.(message)) this.rotateAfter(0); // behind this turn's messages
    } catch (error) {
      if (!this.#hasReported) this.#report(error);
      this.#hasReported = true;
    }
  }
}
