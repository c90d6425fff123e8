/** A log for tests of orders and users: one voter's rows; commands are applied as soon as they are run. */
import type { CommandBody, OrderRecord, Product } from '../../node/commands.ts'
import { withoutAbsent } from '../../node/commands.ts'
import { applyEntry } from '../../node/core/apply.ts'
import type { ApplyOutcome } from '../../node/core/apply.ts'
import type { CommandId, LogIndex } from '../../node/ids.ts'
import type { VoterQuery } from '../../node/messages.ts'
import { memoryStores, product, variant } from './store-world.ts'

export function shopProducts(): Product[] {
  return [
    product('lamp', 1, { title: 'Lamp', variants: [{ ...variant('LAMP', 1_000), title: 'Default Title' }] }),
    product('shade', 1, { title: 'Shade', variants: [{ ...variant('SHADE', 250), title: 'Red' }] }),
  ]
}

export class FakeLog {
  readonly shop = memoryStores().shop
  /** Nobody is primary: commands and current reads fail. */
  isDown = false
  /** Reads are answered, commands are not. */
  isStuck = false
  /** So many commands are applied without an answer. */
  answersLost = 0
  /** Every command that was applied, in order. */
  readonly applied: { body: CommandBody; outcome: ApplyOutcome }[] = []
  /** Commands that were run, answered or not. */
  attempts = 0
  /** Reads that were answered, and the most of them at one time. */
  reads = 0
  readsAtOnce = 0
  readsNow = 0
  /** What is known of every order while nobody is primary, when it is not the newest. */
  knownOrder: OrderRecord | null = null
  #index: LogIndex

  constructor() {
    this.shop.setFeed('log')
    this.shop.transaction((tables) => {
      tables.setCurrency('USD')
      for (const one of shopProducts()) tables.putProduct(one)
    })
    this.#index = this.shop.applied().index
  }

  apply(id: CommandId, body: CommandBody, atMs: number): ApplyOutcome {
    this.#index += 1
    const outcome = this.shop.transaction((tables) =>
      applyEntry(tables, { v: 1, id, atMs, body }, this.#index),
    )
    this.applied.push({ body, outcome })
    return outcome
  }

  setPrice(name: 'lamp' | 'shade', amount: number): void {
    const sku = name === 'lamp' ? 'LAMP' : 'SHADE'
    this.shop.transaction((tables) =>
      tables.putProduct(product(name, 2, { variants: [variant(sku, amount)] })),
    )
  }

  orders(): OrderRecord[] {
    return this.shop.orders({ limit: 100 }).items
  }

  answer(query: VoterQuery): unknown {
    const { shop } = this
    switch (query.kind) {
      case 'order':
        return shop.read.order(query.order)
      case 'orders':
        return shop.orders(withoutAbsent({ ...query, kind: undefined }))
      case 'account':
        return shop.read.account(query.user)
      case 'account-by-email':
        return shop.read.accountByEmail(query.email)
      case 'catalog-history':
        return shop.catalogHistory(withoutAbsent({ ...query, kind: undefined }))
    }
  }
}
