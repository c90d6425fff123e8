/** Changes of the catalog, and the moment when all nodes show them. */
import { Agent, request } from 'node:http'
import type { TestCluster } from '../test/support/cluster.ts'

type Answer = { status: number; version: number; text: string }
type Ask = { method?: string; headers?: { [name: string]: string }; body?: string }

/** Nodes wait for a version for seconds at most. */
const askTimeoutMs = 15_000

export class Changes {
  readonly #cluster: TestCluster
  readonly #primary: string
  readonly #others: readonly string[]
  readonly #agent = new Agent({ keepAlive: true })
  #number = 0

  /** Changes are made at `primary`; `others` must show them. */
  constructor(cluster: TestCluster, primary: string, others: readonly string[]) {
    this.#cluster = cluster
    this.#primary = primary
    this.#others = others
  }

  close(): void {
    this.#agent.destroy()
  }

  #ask(url: string, { method = 'GET', headers = {}, body }: Ask): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = { agent: this.#agent, method, headers, timeout: askTimeoutMs }
      const asking = request(url, options, (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        answer.on('end', () => {
          const version = Number(answer.headers['souk-catalog-version'])
          resolve({ status: answer.statusCode ?? 0, version, text })
        })
      })
      asking.on('timeout', () => asking.destroy(new Error(`${url}: no answer`)))
      asking.on('error', reject).end(body)
    })
  }

  /**
   * One change. Milliseconds from its acknowledgement until the last of the other nodes shows it; each is asked at once
   * for the new version (`Souk-Catalog-Version`) and answers when it has it, so that nothing is missed between two questions.
   */
  async once(): Promise<number> {
    this.#number += 1
    const amount = 1_000 + this.#number
    const changed = await this.#ask(this.#cluster.url(this.#primary, '/api/admin/products/lamp'), {
      method: 'PUT',
      headers: { ...this.#cluster.adminHeaders(), 'content-type': 'application/json' },
      body: JSON.stringify({
        title: 'Lamp',
        variants: [{ sku: 'LAMP', price: { amount, currency: 'USD' } }],
      }),
    })
    if (changed.status !== 200) throw new Error(changed.text)
    const startedMs = performance.now()
    await Promise.all(
      this.#others.map(async (node) => {
        const headers = { 'souk-catalog-version': String(changed.version) }
        const seen = await this.#ask(this.#cluster.url(node, '/api/products/lamp'), { headers })
        if (seen.status !== 200 || !seen.text.includes(`"amount":${amount},`))
          throw new Error(`${node}: ${seen.text}`)
      }),
    )
    return performance.now() - startedMs
  }
}
