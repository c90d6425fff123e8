/** A map that forgets what was used longest ago. Promises: at most `sizeMax` entries, except ones that must stay. */
export class LruMap<Key, Value> {
  readonly #entries = new Map<Key, Value>()
  readonly #sizeMax: number
  readonly #mustStay: (key: Key, value: Value) => boolean

  constructor(sizeMax: number, mustStay: (key: Key, value: Value) => boolean = () => false) {
    this.#sizeMax = sizeMax
    this.#mustStay = mustStay
  }

  get size(): number {
    return this.#entries.size
  }

  /** Looks without counting as a use. */
  peek(key: Key): Value | undefined {
    return this.#entries.get(key)
  }

  get(key: Key): Value | undefined {
    const value = this.#entries.get(key)
    if (value === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, value)
    return value
  }

  set(key: Key, value: Value): void {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    if (this.#entries.size <= this.#sizeMax) return
    for (const [oldKey, oldValue] of this.#entries) {
      if (oldKey === key || this.#mustStay(oldKey, oldValue)) continue
      this.#entries.delete(oldKey)
      if (this.#entries.size <= this.#sizeMax) return
    }
  }

  delete(key: Key): void {
    this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }

  keys(): Iterable<Key> {
    return this.#entries.keys()
  }
}
