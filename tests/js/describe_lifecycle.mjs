// Prints the errors of the package, and those that it makes of close codes, as JSON. Input: [[code, reason, fatal], …].

import { readFileSync } from 'node:fs';

import * as errors from '../../packages/onesocket-js/src/errors.js';
import { closedByPeer } from '../../packages/onesocket-js/src/lifecycle/peer-errors.js';
import { verdictOf } from '../../packages/onesocket-js/src/lifecycle/verdict.js';

const cases = JSON.parse(readFileSync(0, 'utf8'));

const kinds = Object.values(errors).filter((kind) => kind.prototype instanceof Error);
const tree = kinds.map((kind) => [kind.name, Object.getPrototypeOf(kind).name, new kind('text').retryable]);
const closes = cases.map(([code, reason, fatal]) => {
  const error = closedByPeer(code, reason, fatal);
  const { name, message, retryable, refusesToken } = error;
  return { name, message, retryable, refusesToken, verdict: verdictOf(error, { renewsToken: true }) };
});
console.log(JSON.stringify({ tree, closes }));
