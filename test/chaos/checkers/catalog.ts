/**
 * The catalog (P1, P7 and the outcome rule): one content for each version, versions never back, reads as new as the
 * version that the client saw, conditional changes applied to what they name, and each change at most once. The workload
 * gives each change a price of its own, so a price that is read names the change that made it.
 */
import type { Attempt, History, Operation, ProductSeen } from '../history.ts'
import type { Checker, Violation } from './violation.ts'

const writeKinds = new Set(['product.put', 'product.patch'])

type Sight = { readonly product: ProductSeen; readonly attempt: Attempt }
/** A change whose version is known, because its price was seen. */
type Applied = { readonly write: Operation; readonly version: number }

class CatalogCheck {
  readonly #history: History
  readonly #writes: readonly Operation[]
  readonly #sights: readonly Sight[]
  readonly #found: Violation[] = []

  constructor(history: History) {
    this.#history = history
    this.#writes = history.operations.filter(({ kind }) => writeKinds.has(kind))
    this.#sights = history.attempts.flatMap((attempt) =>
      attempt.outcome === 'ok'
        ? (attempt.answered.products ?? []).map((product) => ({ product, attempt }))
        : [],
    )
  }

  run(): Violation[] {
    this.#checkContents()
    const applied = this.#applied()
    for (const changes of Map.groupBy(applied, ({ write }) => write.asked.handle ?? '').values())
      this.#checkChanges(changes)
    this.#checkReads(applied)
    this.#checkNodes()
    this.#checkEnd(applied)
    return this.#found
  }

  #violation(promise: string, text: string, atMs: number): void {
    this.#found.push({ promise, text, atMs })
  }

  /** A version of a product has one price, and a price one version: no change was applied twice. */
  #checkContents(): void {
    const prices = new Map<string, number>()
    const versions = new Map<number, number>()
    for (const { product, attempt } of this.#sights) {
      const { handle, version, amount } = product
      const price = prices.get(`${handle} ${version}`)
      if (price !== undefined && price !== amount) {
        const text = `version ${version} of ${handle} costs ${price} and, at ${attempt.server}, ${amount}`
        this.#violation('P7', text, attempt.returnedMs)
      }
      prices.set(`${handle} ${version}`, amount)
      const known = versions.get(amount)
      if (known !== undefined && known !== version) {
        const text = `the change of ${handle} to ${amount} was applied in version ${known} and in ${version}`
        this.#violation('P1', text, attempt.returnedMs)
      }
      versions.set(amount, version)
    }
  }

  #applied(): Applied[] {
    const byAmount = new Map(this.#writes.map((write) => [write.asked.amount ?? -1, write]))
    const applied = new Map<number, Applied>()
    for (const { product, attempt } of this.#sights) {
      const write = byAmount.get(product.amount)
      const what = `${product.handle} at ${product.amount}, read at ${attempt.server}`
      if (write === undefined || write.asked.handle !== product.handle)
        this.#violation('P7', `nobody ever asked for ${what}`, attempt.returnedMs)
      else if (write.calledMs > attempt.returnedMs)
        this.#violation('P7', `${what}, was asked for only later`, attempt.returnedMs)
      else if (write.outcome === 'fail')
        this.#violation(
          'P1',
          `the change to ${what}, was refused (${write.last.problem})`,
          attempt.returnedMs,
        )
      else applied.set(write.number, { write, version: product.version })
    }
    return [...applied.values()].sort((a, b) => a.version - b.version)
  }

  /** Changes of one product, by version: in real time, and each conditional one right after what it names. */
  #checkChanges(changes: readonly Applied[]): void {
    for (const { write, version } of changes) {
      const { ifMatch, handle } = write.asked
      const between = changes.find(
        (other) => ifMatch !== undefined && other.version > ifMatch && other.version < version,
      )
      if (between !== undefined) {
        const text = `version ${version} of ${handle} was to follow ${ifMatch}, and follows ${between.version}`
        this.#violation('P1', text, write.returnedMs)
      }
      const earlier = changes.find(
        (other) =>
          other.write.outcome === 'ok' && other.write.returnedMs < write.calledMs && other.version > version,
      )
      if (earlier !== undefined) {
        const text = `version ${version} of ${handle} was asked for after ${earlier.version} was acknowledged`
        this.#violation('P1', text, write.returnedMs)
      }
    }
  }

  /** A client that says which version it saw gets that one or a later one. */
  #checkReads(applied: readonly Applied[]): void {
    for (const { asked, answered, outcome, server, returnedMs } of this.#history.attempts) {
      const { seenVersion } = asked
      if (seenVersion === undefined || outcome !== 'ok') continue
      if ((answered.version ?? 0) < seenVersion) {
        const text = `${server} answered from version ${answered.version} who had seen ${seenVersion}`
        this.#violation('P7', text, returnedMs)
      }
      for (const { handle, version } of answered.products ?? []) {
        const missed = applied.find(
          (change) =>
            change.write.asked.handle === handle && change.version > version && change.version <= seenVersion,
        )
        if (missed === undefined) continue
        const text = `${server} showed ${handle} of version ${version} to who had seen ${missed.version}`
        this.#violation('P7', text, returnedMs)
      }
    }
  }

  /** A node's version never goes back, until it loses its disk; and every version has one digest. */
  #checkNodes(): void {
    const wiped = this.#history.nodes.filter(({ condition }) => condition === 'wiped')
    const samples = [
      ...this.#history.attempts.map(({ server, calledMs, returnedMs, answered }) => ({
        node: server,
        calledMs,
        returnedMs,
        version: answered.version,
      })),
      ...this.#history.views.map(({ node, calledMs, atMs, catalog }) => ({
        node,
        calledMs,
        returnedMs: atMs,
        version: catalog.version,
      })),
    ].filter(({ node, version }) => node !== null && version !== undefined)
    for (const [node, own] of Map.groupBy(samples, (sample) => sample.node)) {
      const losses = wiped.filter((line) => line.node === node).map(({ atMs }) => atMs)
      const lives = Map.groupBy(own, ({ returnedMs }) => losses.filter((atMs) => atMs < returnedMs).length)
      for (const life of lives.values()) this.#checkNeverBack(node ?? '', life)
    }
    const digests = new Map<number, string>()
    for (const { node, catalog, atMs } of this.#history.views) {
      const known = digests.get(catalog.version)
      if (known !== undefined && known !== catalog.digest)
        this.#violation('P7', `version ${catalog.version} has another digest at ${node} than elsewhere`, atMs)
      digests.set(catalog.version, catalog.digest)
    }
  }

  #checkNeverBack(
    node: string,
    samples: readonly { calledMs: number; returnedMs: number; version: number | undefined }[],
  ): void {
    const byReturn = samples.toSorted((a, b) => a.returnedMs - b.returnedMs)
    let highest = 0
    let next = 0
    for (const { calledMs, returnedMs, version = 0 } of samples.toSorted((a, b) => a.calledMs - b.calledMs)) {
      for (; (byReturn[next]?.returnedMs ?? Number.POSITIVE_INFINITY) < calledMs; next += 1)
        highest = Math.max(highest, byReturn[next]?.version ?? 0)
      if (version < highest)
        this.#violation('P7', `the catalog of ${node} went from version ${highest} to ${version}`, returnedMs)
    }
  }

  /** No acknowledged change is lost: in the end each product is as its newest change made it. */
  #checkEnd(applied: readonly Applied[]): void {
    const views = this.#history.final('views').flatMap((line) => line.views)
    const highest = Math.max(0, ...views.map(({ catalog }) => catalog.version))
    for (const { node, products, atMs } of this.#history.final('products')) {
      for (const { handle, version, amount } of products) {
        const newest = applied.findLast(({ write }) => write.asked.handle === handle)
        if (newest !== undefined && newest.version > version) {
          const text = `${handle} at ${node} is of version ${version} in the end, ${newest.version} was read`
          this.#violation('P1', text, atMs)
        }
        const write = this.#writes.find(({ asked }) => asked.amount === amount)
        if (write === undefined || write.outcome === 'fail')
          this.#violation('P7', `${handle} at ${node} costs ${amount}, which was not asked for`, atMs)
      }
    }
    const beyond = applied.findLast(({ version }) => version > highest)
    if (views.length > 0 && beyond !== undefined)
      this.#violation('P1', `version ${beyond.version} was read, ${highest} is the highest in the end`, 0)
  }
}

export const catalog: Checker = { name: 'catalog', check: (history) => new CatalogCheck(history).run() }
