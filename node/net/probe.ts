/** Is anything listening there? Only a refusal proves that nothing is (DESIGN.md section 3, fast failover). */
import { connect } from 'node:net'
import type { ProbeResult } from '../ports.ts'
import { parseAddress } from './address.ts'

/** A machine that does not answer within this is not known to be dead; the voters' time-out decides then. */
const probeTimeoutMs = 500

export function probe(p2p: string): Promise<ProbeResult> {
  const { host, port } = parseAddress(p2p)
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const done = (result: ProbeResult): void => {
      clearTimeout(timeout)
      socket.destroy()
      resolve(result)
    }
    const timeout = setTimeout(() => done('unknown'), probeTimeoutMs)
    socket.on('connect', () => done('open'))
    socket.on('error', (error: NodeJS.ErrnoException) =>
      done(error.code === 'ECONNREFUSED' ? 'refused' : 'unknown'),
    )
  })
}
