/**
 * js-libp2p's yamux answers every data frame with a window update: one more frame through yamux, noise and the private
 * network, one more write and read on each side, for each message. hashicorp/yamux (`stream.go`, `sendWindowUpdate`),
 * the reference, waits until half of the window is used; so do the lanes of this node.
 */
import type { Stream } from '@libp2p/interface'
import { StreamState, YamuxStream } from '@libp2p/yamux/stream'

/** What its type hides: the whole window, and what the peer may still send of it. */
type Window = { readonly recvWindow: number; readonly recvWindowCapacity: number }

/**
 * From now on the stream tells its peer of free space when half of its window is used, not after each frame. The peer
 * never waits for it: it has the other half.
 */
export function gatherWindowUpdates(stream: Stream): void {
  if (!(stream instanceof YamuxStream)) return
  const update = stream.sendWindowUpdate.bind(stream)
  stream.sendWindowUpdate = () => {
    const { recvWindow, recvWindowCapacity } = stream as unknown as Window
    // The first updates of a stream open it, and must go.
    const isOpen = stream.state === StreamState.Established
    if (isOpen && recvWindowCapacity * 2 > recvWindow) return
    update()
  }
}
