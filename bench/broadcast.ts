/**
 * From the acknowledgement of one catalog change to the moment when a node shows it: `npm run bench:broadcast`.
 * `--nodes` (default `3,10`), `--changes N` (default 100).
 */
import { parseArgs } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import { prepareCluster, until } from '../test/support/cluster.ts'
import { Changes } from './changes.ts'
import { Report, quantile } from './kit.ts'

const { values } = parseArgs({
  options: { nodes: { type: 'string', default: '3,10' }, changes: { type: 'string', default: '100' } },
})
const changes = Number(values.changes)
const pauseMs = 50
const warmUpChanges = 10
/** Milliseconds for the median and for 99 of 100 changes, by the size of the cluster. */
const aims: { readonly [nodes: number]: readonly [number, number] } = { 3: [15, 60], 10: [40, 200] }
async function bench(report: Report, nodes: number): Promise<void> {
  const { cluster, close } = await prepareCluster({})
  try {
    await cluster.verb('up', String(nodes), '--no-sample')
    const status = await until('there is a primary', async () => {
      const info = await cluster.status()
      return info.primary !== null && info
    })
    const primary = status.primary as string
    const others = status.nodes.map(({ node }) => node).filter((node) => node !== primary)
    const changing = new Changes(cluster, primary, others)
    const tookMs: number[] = []
    for (let number = -warmUpChanges; number < changes; number += 1) {
      const ms = await changing.once()
      if (number >= 0) tookMs.push(ms)
      await sleep(pauseMs)
    }
    changing.close()
    const [half, most] = aims[nodes] ?? [Infinity, Infinity]
    const what = `one change on all of ${nodes} nodes after its acknowledgement`
    report.add({ what: `${what}, p50`, unit: 'ms', runs: [quantile(tookMs, 0.5)], aim: { below: half } })
    report.add({ what: `${what}, p99`, unit: 'ms', runs: [quantile(tookMs, 0.99)], aim: { below: most } })
  } finally {
    await close(false)
  }
}

const report = new Report('broadcast', 'One change, seen on every node')
report.note(`${changes} changes, one after the other; the time until the last node shows it.`)
for (const nodes of values.nodes.split(',').map(Number)) await bench(report, nodes)
report.finish()
