// Verdicts: the consequence of a failure for the next attempt.

import { ServerBusy } from '../errors.js';
import { Verdict } from './table.js';

/** Returns the usual verdict; `renewsToken`: a function gives the tokens, so that a fresh one may come. */
export function verdictOf(error, { renewsToken = false } = {}) {
  if (renewsToken && error.refusesToken) return Verdict.NEW_TOKEN;
  if (!error.retryable) return Verdict.FAIL;
  return error instanceof ServerBusy ? Verdict.SLOW : Verdict.RETRY;
}
