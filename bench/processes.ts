/** What processes use, by proc(5). */
import { readFileSync } from 'node:fs'
import type { TestCluster } from '../test/support/cluster.ts'

/** Of the nodes that run, by name. */
export async function pidsOf(cluster: TestCluster): Promise<Map<string, number>> {
  const { nodes } = await cluster.status()
  return new Map(nodes.flatMap(({ node, pid }) => (pid === null ? [] : [[node, pid] as const])))
}

/** Processor time so far (fields 14 and 15 of stat, in ticks of 10 ms); 0 where there is no /proc. */
export function processorMs(pid: number): number {
  if (process.platform !== 'linux') return 0
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Resident memory; NaN where there is no /proc. */
export function residentMib(pid: number): number {
  if (process.platform !== 'linux') return Number.NaN
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1_024
}
