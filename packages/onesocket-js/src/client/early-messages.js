// Messages that come before the first reader of everything: they wait for it, and are shown to readers of a part.

import { GapReason } from '../lifecycle/table.js';
import { Gap, mergeGaps } from './gap.js';

const MAX_MESSAGES = 1024;
/** Characters of text, or bytes, that may wait; the newest message waits whatever its size. */
const MAX_SIZE = 4 * 2 ** 20;

/**
 * The newest messages and gaps, within bounds, until a reader of everything is here. The first reader of an event, and the
 * first that selects, get those that match; the next ones have missed nothing, and begin with their call.
 *
 * Once there are more than may wait, and readers of a part, nothing is kept any more: a page that reads by event for days
 * doesn't keep its messages for a reader that never comes.
 */
export class EarlyMessages {
  /** `{item, about, size}` */
  #items = [];
  #size = 0;
  #dropped = 0;
  /** The newest gap that was dropped. */
  #lastGap = null;
  /** Readers of a part that have come: their event, and whether they select. */
  #served = new Set();
  #onlyCounts = false;
  #isOver = false;

  /** True while messages are kept. */
  get isKeeping() {
    return !this.#isOver && !this.#onlyCounts;
  }

  /** True while they are only counted, for the reader of everything. */
  get onlyCounts() {
    return this.#onlyCounts && !this.#isOver;
  }

  /** Keeps a message with what readers select it by, or a gap. */
  put(item, about) {
    if (this.#isOver) return;
    const last = this.#items.at(-1);
    if (item instanceof Gap && last?.item instanceof Gap) {
      last.item = mergeGaps(last.item, item);
      return;
    }
    if (this.#onlyCounts) {
      this.#drop(item);
      return;
    }
    const size = sizeOf(item);
    this.#items.push({ item, about, size });
    this.#size += size;
    if (this.#items.length > MAX_MESSAGES || this.#size > MAX_SIZE) this.#makeRoom();
  }

  #makeRoom() {
    this.#onlyCounts = this.#served.size > 0;
    const isTooMuch = () => this.#items.length > MAX_MESSAGES || (this.#size > MAX_SIZE && this.#items.length > 1);
    while (this.#onlyCounts ? this.#items.length > 0 : isTooMuch()) {
      const { item, size } = this.#items.shift();
      this.#size -= size;
      this.#drop(item);
    }
  }

  #drop(item) {
    if (item instanceof Gap) this.#lastGap = item;
    else this.#dropped += 1;
  }

  /**
   * Returns the messages, as `{item, about}`, and the gaps that waited for this reader; null: none did, as an earlier reader
   * had them. `isFiltered`: it selects by more than the event; `isWanted({item, about})`: it selects this message.
   */
  take({ event, isFiltered, isWanted, epoch }) {
    if (this.#isOver || !this.#isFirst(event, isFiltered)) return null;
    if (event === null && !isFiltered) {
      const all = this.#all(epoch);
      this.end();
      return all;
    }
    if (this.#onlyCounts) return [];
    const part = this.#all(epoch).filter(({ item, about }) => item instanceof Gap || isWanted({ item, about }));
    // Without a message of its own it begins with its call, whatever connection was lost before that.
    if (part.some(({ item }) => !(item instanceof Gap))) return part;
    return part.filter(({ item }) => item.reason === GapReason.OVERFLOW);
  }

  #isFirst(event, isFiltered) {
    const name = (filtered) => JSON.stringify([event, filtered]);
    const isFirst = !this.#served.has(name(isFiltered)) && !this.#served.has(name(false));
    this.#served.add(name(isFiltered));
    return isFirst;
  }

  #all(epoch) {
    const gaps = this.#dropped > 0 ? [new Gap(GapReason.OVERFLOW, { epoch, missed: this.#dropped })] : [];
    if (this.#lastGap !== null) gaps.push(this.#lastGap);
    return [...gaps.map((item) => ({ item, about: null })), ...this.#items];
  }

  /** Keeps no more: the first reader of everything is here, or none will come. */
  end() {
    this.#isOver = true;
    this.#items = [];
    this.#lastGap = null;
  }
}

function sizeOf(item) {
  if (typeof item === 'string') return item.length;
  if (item instanceof ArrayBuffer) return item.byteLength;
  try {
    return JSON.stringify(item).length;
  } catch {
    return 0; // of a protocol of the program's own
  }
}
