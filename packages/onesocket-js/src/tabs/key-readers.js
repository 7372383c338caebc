// The readers of keys of one tab: the owner subscribes to their keys, and each owner is told of them anew.

/** `post(message)` sends to the owner. */
export class KeyReaders {
  #readers = new Map();
  #ids = new Map();
  #numbers = 0;
  #post;
  #isOpen = false;

  constructor(post) {
    this.#post = post;
  }

  add(reader, keys) {
    this.#numbers += 1;
    const id = this.#numbers;
    this.#ids.set(reader, id);
    this.#readers.set(id, { reader, keys: [...keys] });
    if (this.#isOpen) this.#tell(id);
  }

  drop(reader) {
    const id = this.#ids.get(reader);
    this.#ids.delete(reader);
    if (this.#readers.delete(id) && this.#isOpen) this.#post({ type: 'unsubscribe', id });
  }

  /** The owner takes subscriptions. */
  open() {
    this.#isOpen = true;
    for (const id of this.#readers.keys()) this.#tell(id);
  }

  ownerLost() {
    this.#isOpen = false;
  }

  /** Keys of a reader are refused: they are not asked for again. */
  refused(id, error) {
    const entry = this.#readers.get(id);
    if (entry === undefined) return;
    entry.keys = error.keys === undefined ? [] : entry.keys.filter((key) => !error.keys.includes(key));
    entry.reader.refused(error);
  }

  #tell(id) {
    const { keys } = this.#readers.get(id);
    if (keys.length > 0) this.#post({ type: 'subscribe', id, keys });
  }
}
