// Close codes as typed errors, by the table of verdicts that Python has.

import { ClosedByPeer, ConnectionReset, ServerBusy } from '../errors.js';
import { CLOSE_CODES, CLOSE_RULES, CONNECTION_LIMIT_WORDS, Verdict } from './table.js';

const POLICY_VIOLATION = 1008;
const FIRST_PRIVATE_CODE = 4000;
// What stands between words: "too_many_requests" and "TooManyRequests" are three words, too.
const BREAK = /[\W_]|(?<=[a-z])(?=[A-Z])/g;

const compiled = new Map();

function matches(words, text) {
  if (words === null) return true;
  if (!compiled.has(words)) compiled.set(words, new RegExp(words.source, words.flags));
  return compiled.get(words).test(text.replace(BREAK, ' '));
}

function findRule(code, reason) {
  return CLOSE_RULES.find(
    (rule) => rule.codes.some(([first, last]) => first <= code && code <= last) && matches(rule.words, reason),
  );
}

/** Returns the error for a CLOSE frame; `fatal`: the protocol's own list of codes that no retry can help. */
export function closedByPeer(code, reason = '', fatal = null) {
  const meaning = CLOSE_CODES[code] ?? (code >= FIRST_PRIVATE_CODE ? 'private code' : 'unassigned code');
  const text = `the server closed the connection with ${code} (${meaning})${reason ? `: ${reason}` : ''}`;
  if (fatal?.includes(code)) return new ClosedByPeer(text, { code, reason, retryable: false });
  const rule = findRule(code, reason);
  if (rule.verdict === Verdict.SLOW) {
    const busy = new ServerBusy(text, { code, reason });
    busy.isConnectionLimit = matches(CONNECTION_LIMIT_WORDS, reason);
    return busy;
  }
  const verdict = rule.verdict === Verdict.NEW_TOKEN ? rule.withoutSource : rule.verdict;
  const error = new ClosedByPeer(text, { code, reason, retryable: verdict !== Verdict.FAIL || fatal !== null });
  error.refusesToken = rule.verdict === Verdict.NEW_TOKEN;
  error.retryableOnceEstablished = !error.retryable && code === POLICY_VIOLATION;
  return error;
}

/** Returns the error as it is meant for a connection that was up before: a 1008 may pass, so it is retried slowly. */
export function asEstablished(error) {
  if (!(error instanceof ClosedByPeer) || !error.retryableOnceEstablished) return error;
  return new ServerBusy(error.message, { code: error.code, reason: error.reason, cause: error });
}

/** Returns the error for a connection that ended without a CLOSE frame. */
export function connectionReset(detail = '') {
  return new ConnectionReset(`the connection was lost without a CLOSE frame${detail ? ` (${detail})` : ''}`);
}
