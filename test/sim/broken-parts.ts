/** What the broken variants put in the place of working parts. */
import type { Clock } from '../../node/ports.ts'
import type { Connection } from '../../node/store/connection.ts'

/** The same object with some methods replaced. */
export function instead<T extends object>(real: T, methods: Partial<T>): T {
  return new Proxy(real, {
    get: (target, name) => {
      const value: unknown = Reflect.get(Object.hasOwn(methods, name) ? methods : target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** What is appended says that it is on disk, and gets there with the next write. */
export class LateDisk {
  readonly connection: Connection
  #late: (() => unknown) | null = null
  #isAppending = false

  constructor(connection: Connection) {
    this.connection = instead(connection, {
      transaction: <T>(work: () => T): T => {
        const before = this.#late
        this.#late = null
        if (before !== null) connection.transaction(before)
        if (!this.#isAppending) return connection.transaction(work)
        this.#late = work
        return undefined as T
      },
    })
  }

  append(work: () => void): void {
    this.#isAppending = true
    work()
    this.#isAppending = false
  }
}

/** Whatever would be done soon is done in four seconds: announcements are acted upon when the next version is out. */
export function lateClock(clock: Clock): Clock {
  return instead(clock, {
    timer: (delayMs, callback) => clock.timer(delayMs > 0 && delayMs < 1_000 ? 4_000 : delayMs, callback),
  })
}
