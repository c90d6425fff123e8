/** Looks at every node twice a second, and at the clients' own process, which must not be what was slow. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ChaosCluster } from './harness/cluster.ts'

const lookIntervalMs = 500
const lookTimeoutMs = 1_000
const stallIntervalMs = 50
/** Shorter ones don't matter beside limits of seconds. */
const stallMinMs = 200

/** Records how nodes look, until the run is over. */
export async function observe(cluster: ChaosCluster, isOver: () => boolean): Promise<void> {
  const { recorder } = cluster
  while (!isOver()) {
    await Promise.all(
      cluster.hosts.map(async (host) => {
        const calledMs = recorder.nowMs()
        const view = await cluster.view(host, lookTimeoutMs)
        if (view !== null) recorder.add({ type: 'view', calledMs, atMs: recorder.nowMs(), ...view })
      }),
    )
    await sleep(lookIntervalMs)
  }
}

/** Records when this process stood still. The function that is returned ends it. */
export function watchOwnStalls({ recorder }: ChaosCluster): () => void {
  let lastMs = performance.now()
  const timer = setInterval(() => {
    const nowMs = performance.now()
    const lastedMs = Math.round(nowMs - lastMs - stallIntervalMs)
    if (lastedMs > stallMinMs) recorder.add({ type: 'stall', atMs: recorder.nowMs(), lastedMs })
    lastMs = nowMs
  }, stallIntervalMs)
  return () => clearInterval(timer)
}
