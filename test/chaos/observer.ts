/** Looks at every node twice a second, and at how busy the machine is, because what is slow may be the machine. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ChaosCluster } from './harness/cluster.ts'
import type { Host } from './harness/host.ts'

const lookIntervalMs = 500
const lookTimeoutMs = 1_000
const stallIntervalMs = 50
/** Shorter ones don't matter beside limits of seconds. */
const stallMinMs = 200
/** Processes always wait a little for each other, on two cores. */
const waitedMinMs = 50

/** Records how nodes look, until the run is over. */
export async function observe(cluster: ChaosCluster, isOver: () => boolean): Promise<void> {
  const { recorder } = cluster
  const waits = new ProcessorWaits()
  while (!isOver()) {
    await Promise.all(
      cluster.hosts.map(async (host) => {
        const calledMs = recorder.nowMs()
        const view = await cluster.view(host, lookTimeoutMs)
        if (view !== null) recorder.add({ type: 'view', calledMs, atMs: recorder.nowMs(), ...view })
      }),
    )
    const lastedMs = waits.longest(cluster.hosts)
    if (lastedMs > waitedMinMs)
      recorder.add({ type: 'stall', who: 'nodes', atMs: recorder.nowMs(), lastedMs })
    await sleep(lookIntervalMs)
  }
}

/** How long a process was ready to run and was not run, by the kernel's own account (proc(5), "schedstat"). */
class ProcessorWaits {
  readonly #waitedMs = new Map<number, number>()

  /** The longest that any of them waited since the last look; 0 where the kernel does not tell. */
  longest(hosts: readonly Host[]): number {
    const waits = hosts.flatMap(({ pid }) => (pid === null ? [] : [this.#since(pid)]))
    return Math.round(Math.max(0, ...waits))
  }

  #since(pid: number): number {
    let text: string
    try {
      text = readFileSync(`/proc/${pid}/schedstat`, 'utf8')
    } catch {
      // It ended, or this is not Linux.
      return 0
    }
    const waitedMs = Number(text.split(' ')[1] ?? 0) / 1e6
    const before = this.#waitedMs.get(pid) ?? waitedMs
    this.#waitedMs.set(pid, waitedMs)
    return waitedMs - before
  }
}

/** Records when this process stood still. The function that is returned ends it. */
export function watchOwnStalls({ recorder }: ChaosCluster): () => void {
  let lastMs = performance.now()
  const timer = setInterval(() => {
    const nowMs = performance.now()
    const lastedMs = Math.round(nowMs - lastMs - stallIntervalMs)
    if (lastedMs > stallMinMs)
      recorder.add({ type: 'stall', who: 'clients', atMs: recorder.nowMs(), lastedMs })
    lastMs = nowMs
  }, stallIntervalMs)
  return () => clearInterval(timer)
}
