/**
 * What gossip costs in bytes. Gossipsub counts what it does if it is given a register of metrics; of its hundred only two
 * are wanted here (the application's own numbers tell the rest), so all others are instruments that do nothing. The bytes
 * are those of its messages, before encryption: topics, signatures and control messages included.
 */
import type { gossipsub } from '@chainsafe/libp2p-gossipsub'
import type { GossipTraffic } from '../ports.ts'

type Register = NonNullable<NonNullable<Parameters<typeof gossipsub>[0]>['metricsRegister']>

const nothing = (): void => undefined
const idleInstrument = {
  inc: nothing,
  set: nothing,
  addCollect: nothing,
  observe: nothing,
  reset: nothing,
  startTimer: () => nothing,
}

export class GossipTrafficCounter {
  #sentBytes = 0
  #receivedBytes = 0

  read(): GossipTraffic {
    return { sentBytes: this.#sentBytes, receivedBytes: this.#receivedBytes }
  }

  /** For gossipsub's option `metricsRegister`. */
  register(): Register {
    const counting: { readonly [name: string]: (bytes: number) => void } = {
      gossipsub_rpc_sent_bytes_total: (bytes) => (this.#sentBytes += bytes),
      gossipsub_rpc_recv_bytes_total: (bytes) => (this.#receivedBytes += bytes),
    }
    return {
      gauge: ({ name }) => {
        const add = counting[name]
        return add === undefined ? idleInstrument : { ...idleInstrument, inc: add as () => void }
      },
      histogram: () => idleInstrument,
      avgMinMax: () => idleInstrument,
    }
  }
}
