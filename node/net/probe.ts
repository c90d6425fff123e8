/** Is anything listening there? Only a refusal proves that nothing is (DESIGN.md section 3, fast failover). */
import { connect } from 'node:net'
import type { ProbeResult } from '../ports.ts'
import { parseAddress } from './address.ts'
import type { Address } from './address.ts'

/** A machine that does not answer within this is not known to be dead; the voters' time-out decides then. */
const probeTimeoutMs = 500
/** A process that is being killed closes its connections a moment before its port. */
const againDelayMs = 5

type Attempt = 'refused' | 'unreachable' | 'greeted' | 'broken' | 'silent'

/**
 * A living node greets who connects (the nonce of the private network comes first). A connection that is accepted
 * and broken without a greeting is a process in the middle of dying, so the port is tried again.
 */
export async function probe(p2p: string): Promise<ProbeResult> {
  const address = parseAddress(p2p)
  const untilMs = performance.now() + probeTimeoutMs
  for (;;) {
    const leftMs = untilMs - performance.now()
    if (leftMs <= 0) return 'open'
    const result = await attempt(address, leftMs)
    switch (result) {
      case 'refused':
        return 'refused'
      case 'unreachable':
        return 'unknown'
      case 'greeted':
      case 'silent':
        return 'open'
      case 'broken':
        await new Promise((resolve) => setTimeout(resolve, againDelayMs))
        break
      default: {
        const never: never = result
        return never
      }
    }
  }
}

function attempt({ host, port }: Address, timeoutMs: number): Promise<Attempt> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    let accepted = false
    const done = (result: Attempt): void => {
      clearTimeout(timeout)
      socket.destroy()
      resolve(result)
    }
    const timeout = setTimeout(() => done(accepted ? 'silent' : 'unreachable'), timeoutMs)
    socket.on('connect', () => {
      accepted = true
    })
    socket.on('data', () => done('greeted'))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A reset comes from a port that had just accepted, even when it is seen before 'connect' is.
      if (accepted || error.code === 'ECONNRESET') done('broken')
      else done(error.code === 'ECONNREFUSED' ? 'refused' : 'unreachable')
    })
    socket.on('close', () => done(accepted ? 'broken' : 'unreachable'))
  })
}
