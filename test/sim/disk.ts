/**
 * A node's disk as the nemesis sees it: the real stores in memory, with a kill possible just before or just after any
 * write, and a copy of the log's entries for the checkers. After the kill nothing reaches the disk any more.
 */
import type { LogEntry } from '../../node/core/raft/types.ts'
import type { HardState, SessionRow, Stores } from '../../node/ports.ts'

/** What code of a killed process runs into: it must not go on. */
export class Killed extends Error {
  override readonly name = 'Killed'
}

export type LogWrite = {
  hardState: HardState | null
  truncateFrom: number | null
  append: readonly LogEntry[]
}

export type DiskHooks = {
  /** The kill fires: the process is dead from here on. */
  killed: () => void
  logWritten: (write: LogWrite) => void
  logReset: (index: number) => void
  sessionWritten: (row: SessionRow) => void
}

const writes = new Set([
  'persist',
  'compact',
  'resetTo',
  'setClusterId',
  'setPeerStarts',
  'transaction',
  'setFeed',
  'startFromLog',
  'setDiverged',
  'putCart',
  'setDelivery',
  'deleteCart',
  'putSession',
  'deleteSession',
  'putOutbox',
  'deleteOutbox',
  'revoke',
  'dropRevokedBefore',
  'setSoldWatermark',
])

export class FaultyDisk {
  readonly stores: Stores
  readonly #hooks: DiskHooks
  #frozen = false
  #depth = 0
  #writesLeft: number | null = null
  #after = false
  written = 0

  constructor(stores: Stores, hooks: DiskHooks) {
    this.#hooks = hooks
    this.stores = {
      log: this.#wrap(stores.log),
      shop: this.#wrap(stores.shop),
      local: this.#wrap(stores.local),
    }
  }

  /** Kills at the `count`-th write from now: before it happens, or when it is on disk and nobody was told. */
  killAtWrite(count: number, after: boolean): void {
    this.#writesLeft = count
    this.#after = after
  }

  /** The process is dead: whatever still runs of it changes nothing. */
  freeze(): void {
    this.#frozen = true
  }

  #wrap<T extends object>(store: T): T {
    const bound = new Map<string | symbol, unknown>()
    return new Proxy(store, {
      get: (target, name) => {
        const known = bound.get(name)
        if (known !== undefined) return known
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        const method = value.bind(target) as (...values: unknown[]) => unknown
        const wrapped = writes.has(String(name))
          ? (...values: unknown[]) => this.#write(String(name), method, values)
          : method
        bound.set(name, wrapped)
        return wrapped
      },
    })
  }

  #write(name: string, method: (...values: unknown[]) => unknown, values: unknown[]): unknown {
    if (this.#frozen) throw new Killed('this process was killed')
    const isOutermost = this.#depth === 0
    const fires = isOutermost && this.#counts()
    if (fires && !this.#after) this.#kill()
    this.#depth += 1
    let result: unknown
    try {
      result = method(...values)
    } finally {
      this.#depth -= 1
    }
    this.#notice(name, values)
    if (fires) this.#kill()
    return result
  }

  #counts(): boolean {
    this.written += 1
    if (this.#writesLeft === null) return false
    this.#writesLeft -= 1
    return this.#writesLeft <= 0
  }

  #kill(): never {
    this.#writesLeft = null
    this.#hooks.killed()
    throw new Killed('this process was killed at a write')
  }

  #notice(name: string, values: unknown[]): void {
    if (name === 'persist') this.#hooks.logWritten(values[0] as LogWrite)
    else if (name === 'resetTo') this.#hooks.logReset(values[0] as number)
    else if (name === 'putSession') this.#hooks.sessionWritten(values[0] as SessionRow)
  }
}
