// The option `rotation`: a connection is replaced by a successor without a hole in its messages.

import { InvalidOption } from '../errors.js';

/**
 * Replacement of a connection by a successor, which is up and has caught up before the old one is closed.
 *
 * `identity(message)`: equal for the two copies of one message, and for no others; null: the message has none, and is
 * delivered from both. `age`: seconds after which a connection is replaced, or up to a tenth less, at random.
 * `announced(message)`: true of the message with which a server announces its close. `overlap`: seconds for which the
 * successor has been subscribed when it takes over. `closeFirst`: where the server refuses a second connection, the first is
 * closed before the next is opened, and a `Gap` follows. `retry`: seconds until a rotation by age or announcement that failed
 * is tried again.
 */
export class Rotation {
  constructor({ identity, age = null, announced = null, overlap = 1, closeFirst = true, retry = 60, ...unknown } = {}) {
    const [name] = Object.keys(unknown);
    if (name !== undefined) throw new InvalidOption(`Rotation has no option ${name}`);
    checkFunction('identity', identity);
    if (announced !== null) checkFunction('announced', announced);
    if (age !== null) checkSeconds('age', age);
    checkSeconds('overlap', overlap);
    checkSeconds('retry', retry);
    if (typeof closeFirst !== 'boolean') {
      throw new InvalidOption(`Rotation: closeFirst must be true or false, not ${closeFirst}`);
    }
    Object.assign(this, { identity, age, announced, overlap, closeFirst, retry });
    Object.freeze(this);
  }
}

/** Returns a rotation that this protocol allows, or null. Throws `InvalidOption`. */
export function checkRotation(value, protocol) {
  if (value === null) return null;
  if (!(value instanceof Rotation)) throw new InvalidOption('rotation must be a Rotation({identity}), or null');
  if (typeof protocol.successor !== 'function') {
    throw new InvalidOption(
      `rotation needs a protocol for the second connection, and ${protocol.constructor.name} has no successor(): define it ` +
        'to return another instance, if its sessions allow two connections at a time',
    );
  }
  return value;
}

function checkFunction(name, value) {
  if (typeof value !== 'function') throw new InvalidOption(`Rotation: ${name} must be a function of a message, not ${value}`);
}

function checkSeconds(name, value) {
  if (!Number.isFinite(value) || value <= 0) {
    throw new InvalidOption(`Rotation: ${name} must be a finite number of seconds above 0, not ${value}`);
  }
}
