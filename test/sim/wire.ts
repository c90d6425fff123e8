/** One simulated TCP connection between two transports, carrying both lanes. */
import { parseFrame } from '../../node/net/frames.ts'
import type { Frame } from '../../node/net/frames.ts'
import type { Pipe, PipeResult } from '../../node/net/link.ts'
import type { PeerConnection } from '../../node/net/peer-table.ts'
import type { MemberId } from '../../node/ids.ts'
import { frameSizeBytesMax } from '../../node/messages.ts'
import type { Lane } from '../../node/ports.ts'
import { silentCloseMs } from './network.ts'
import type { SimNetwork } from './network.ts'
import type { SimTransport } from './transport.ts'

/** TCP brings what was said in a cut as soon as it is over; of hellos only, since the rest must cope with being lost. */
const retransmitMs = 200
/** As the real pipe: one slow peer must not hold the sender's memory. */
const inFlightBytesMax = 16 * 1024 * 1024

type End = {
  readonly transport: SimTransport
  connection: PeerConnection | null
  closed: boolean
  /** Bytes on the way to this end. */
  inFlightBytes: number
  /** Frames that must keep their order arrive no earlier than this. */
  lastArrivalMs: number
}

function end(transport: SimTransport): End {
  return { transport, connection: null, closed: false, inFlightBytes: 0, lastArrivalMs: 0 }
}

export class SimWire {
  readonly #network: SimNetwork
  readonly #dialler: End
  readonly #listener: End

  /** The listener has it now, the dialler one delay later; `connected` is called with the dialler's connection. */
  constructor(
    network: SimNetwork,
    dialler: SimTransport,
    listener: SimTransport,
    connected: (connection: PeerConnection) => void,
    address: string,
  ) {
    this.#network = network
    this.#dialler = end(dialler)
    this.#listener = end(listener)
    network.addWire(this)
    const delayMs = network.delayMs()
    // The listener's hello must not arrive before the dialler has the connection.
    this.#dialler.lastArrivalMs = network.scheduler.nowMs + delayMs
    network.scheduler.after(delayMs, () =>
      dialler.clock.run(() => {
        if (this.#dialler.closed) return
        connected(this.#open(this.#dialler, address))
      }),
    )
    this.#open(this.#listener, null)
  }

  joins(id: MemberId): boolean {
    return this.#dialler.transport.id === id || this.#listener.transport.id === id
  }

  /** Nothing gets through in at least one direction. */
  isSilent(): boolean {
    const [one, other] = [this.#dialler.transport.id, this.#listener.transport.id]
    const network = this.#network
    const blocked = network.isBlocked(one, other) || network.isBlocked(other, one)
    return blocked || network.isPaused(one) || network.isPaused(other)
  }

  /** Both ends give up. */
  timeOut(): void {
    for (const side of [this.#dialler, this.#listener]) this.#close(side, 0)
  }

  /** The process at one end was killed: the kernel tells the other end, if it can and is there. */
  died(id: MemberId, dark: boolean): void {
    const [mine, theirs] = this.#sides(id)
    mine.closed = true
    if (theirs.closed) this.#network.removeWire(this)
    else this.#closeRemote(mine, theirs, dark)
  }

  #sides(id: MemberId): [End, End] {
    return this.#dialler.transport.id === id
      ? [this.#dialler, this.#listener]
      : [this.#listener, this.#dialler]
  }

  #open(side: End, address: string | null): PeerConnection {
    const other = side === this.#dialler ? this.#listener : this.#dialler
    const connection = side.transport.table.addConnection(other.transport.id, () =>
      this.#closeLocally(side, other),
    )
    connection.address = address
    side.connection = connection
    for (const lane of ['main', 'bulk'] as const)
      side.transport.table.addLink(connection, lane, this.#pipe(side, other, lane))
    return connection
  }

  #pipe(from: End, to: End, lane: Lane): Pipe {
    return {
      send: (frame) => this.#send(from, to, lane, frame),
      // Everything leaves at once here.
      flush: () => undefined,
      trusted: () => undefined,
      close: () => this.#closeLocally(from, to),
    }
  }

  #send(from: End, to: End, lane: Lane, frame: Frame): PipeResult {
    if (from.closed) return 'full'
    const text = JSON.stringify(frame)
    if (text.length > frameSizeBytesMax) return 'too-large'
    const sheddable = frame.kind === 'raft' || frame.kind === 'request' || frame.kind === 'answer'
    if (sheddable && to.inFlightBytes > inFlightBytesMax) return 'full'
    const { settings, random } = this.#network
    if (frame.kind === 'raft') {
      if (random.chance(settings.loss)) return 'queued'
      if (random.chance(settings.duplication)) this.#carry(from, to, lane, frame.kind, text)
    } else if (sheddable || frame.kind === 'fault') {
      if (random.chance(settings.requestLoss)) return 'queued'
    }
    this.#carry(from, to, lane, frame.kind, text)
    return 'queued'
  }

  #carry(from: End, to: End, lane: Lane, kind: Frame['kind'], text: string): void {
    to.inFlightBytes += text.length
    this.#arrive(
      from,
      to,
      kind === 'raft' && this.#network.settings.reorder,
      () => {
        to.inFlightBytes -= text.length
        const link = to.connection?.links.get(lane)
        if (to.closed || link === undefined) return
        this.#network.note(from.transport.id, to.transport.id, kind, text.length)
        link.receive(parseFrame(text))
      },
      kind === 'hello',
    )
  }

  /** Runs `callback` inside the receiving node after a delay, unless the direction is cut when it leaves or arrives. */
  #arrive(from: End, to: End, overtakes: boolean, callback: () => void, comesLater = false): void {
    const network = this.#network
    const { id: fromId } = from.transport
    const { id: toId, clock } = to.transport
    const cut = (): void => {
      if (!comesLater) return
      network.scheduler.after(retransmitMs, () => {
        if (!from.closed && !to.closed) this.#arrive(from, to, overtakes, callback, comesLater)
      })
    }
    if (network.isBlocked(fromId, toId)) return cut()
    const { nowMs } = network.scheduler
    const atMs = Math.max(nowMs + network.delayMs(), overtakes ? 0 : to.lastArrivalMs)
    if (!overtakes) to.lastArrivalMs = atMs
    network.scheduler.after(atMs - nowMs, () => {
      if (network.isBlocked(fromId, toId)) cut()
      else clock.run(callback)
    })
  }

  #closeLocally(mine: End, theirs: End): void {
    if (mine.closed) return
    this.#closeRemote(mine, theirs, false)
    // Not at once: whoever closes may be in the middle of a list of connections.
    this.#close(mine, 0)
  }

  #closeRemote(mine: End, theirs: End, dark: boolean): void {
    const [from, to] = [mine.transport.id, theirs.transport.id]
    const unheard = dark || this.#network.isBlocked(from, to)
    const { nowMs } = this.#network.scheduler
    // After everything that was sent before; a cut-off end only finds out by silence.
    const atMs = Math.max(theirs.lastArrivalMs, nowMs + this.#network.delayMs())
    this.#close(theirs, unheard ? silentCloseMs : atMs - nowMs)
  }

  #close(side: End, delayMs: number): void {
    this.#network.scheduler.after(delayMs, () =>
      side.transport.clock.run(() => {
        if (side.closed) return
        side.closed = true
        if (side.connection !== null) side.transport.table.removeConnection(side.connection)
        if (this.#dialler.closed && this.#listener.closed) this.#network.removeWire(this)
      }),
    )
  }
}
