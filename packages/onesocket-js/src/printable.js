// Escapes text of a peer for logs and pages.

const ESCAPES = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };
// Control and format characters, line separators, surrogates, private and unassigned ones.
const NOT_PRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Returns `text` on one line: a peer may have written a part of it, so that control characters are escaped. */
export function printable(text) {
  return text.replace(NOT_PRINTABLE, (found) => ESCAPES[found] ?? [...codeUnits(found)].join(''));
}

function* codeUnits(character) {
  for (let index = 0; index < character.length; index += 1) {
    yield `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`;
  }
}
