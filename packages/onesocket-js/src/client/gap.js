// The marker that stands in a reader's stream where messages may be missing.

import { GapReason } from '../lifecycle/table.js';

const BY_SEVERITY = [GapReason.OVERFLOW, GapReason.UNDECODABLE, GapReason.RECONNECTED];

/** Marker at a place where messages may be missing. */
export class Gap {
  /**
   * `epoch`: number of the connection on which the stream goes on; `missed`: number of missing messages, null where it
   * isn't known; `error`: the error of an undecodable message, or the reason for the loss.
   */
  constructor(reason, { epoch, missed = null, error = null }) {
    Object.assign(this, { reason, epoch, missed, error });
    Object.freeze(this);
  }
}

/** Merges two adjacent markers; the number of missing messages is known only if both have one. */
export function mergeGaps(first, second) {
  const [weaker, stronger] = [first, second].sort((a, b) => BY_SEVERITY.indexOf(a.reason) - BY_SEVERITY.indexOf(b.reason));
  return new Gap(stronger.reason, {
    epoch: Math.max(first.epoch, second.epoch),
    missed: first.missed === null || second.missed === null ? null : first.missed + second.missed,
    error: stronger.error ?? weaker.error,
  });
}
