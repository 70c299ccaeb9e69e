/** A queue whose operations take constant time on average, however long it is. */

/** Shifted items are freed once there are so many, and more of them than items left. */
const COMPACT = 64;

/** First in, first out. */
export class Queue<T> {
  #items: T[] = [];
  #start = 0;

  get length(): number {
    return this.#items.length - this.#start;
  }

  get first(): T | undefined {
    return this.#items[this.#start];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const { first } = this;
    if (this.length > 0) this.#start++;
    if (this.length === 0 || this.#start >= Math.max(COMPACT, this.length)) {
      this.#items = this.#items.slice(this.#start);
      this.#start = 0;
    }
    return first;
  }

  /** Removes the first item while it is so, and returns the one that is first then. */
  skip(isSo: (item: T) => boolean): T | undefined {
    while (this.length > 0 && isSo(this.first as T)) this.shift();
    return this.first;
  }

  /** Removes all items, and returns them. */
  drain(): T[] {
    const items = this.#items.slice(this.#start);
    this.#items = [];
    this.#start = 0;
    return items;
  }
}
