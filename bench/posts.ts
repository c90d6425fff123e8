/**
 * What benchmarks of requests share: a client that costs little beside the servers on the same processor, keep-alive
 * connections with one request at a time each, and the processor time that the servers took.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { TestCluster } from '../test/support/cluster.ts'
import { quantile } from './kit.ts'
import { pidsOf, processorMs } from './processes.ts'

export type Post = {
  readonly path: string
  readonly headers: { readonly [name: string]: string }
  readonly body: string
}
/** `location`: where a redirect leads. `retryAfter`: what the header says. */
export type Answer = {
  readonly status: number
  readonly location: string | null
  readonly retryAfter: string | null
}
export type Load = { readonly perSecond: number; readonly p99Ms: number }

/** A server that says nothing for so long has failed; a benchmark ends then, as with any wrong answer. */
const answerWithinMs = 30_000
const headEnd = '\r\n\r\n'

/**
 * One connection. Node's own client takes as much processor time as a bare server; this one reads nothing of an answer
 * but its status, where it redirects to, and its length, and needs a Content-Length.
 */
export class PostConnection {
  readonly #socket: Socket
  readonly #host: string
  /** What is here of a head; of a body only the length counts. */
  #received = ''
  #answer: Answer | null = null
  #missing = 0
  #settle: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | null = null

  private constructor(socket: Socket, host: string) {
    this.#socket = socket
    this.#host = host
    socket.setNoDelay(true)
    // Bytes are counted, so each must remain one character.
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => this.#take(text))
    socket.setTimeout(answerWithinMs, () => {
      if (this.#settle !== null) socket.destroy(new Error('no answer'))
    })
    socket.on('error', (error) => this.#settle?.reject(error))
    socket.on('close', () => this.#settle?.reject(new Error('the server closed the connection')))
  }

  static async open(base: string): Promise<PostConnection> {
    const { host, hostname, port } = new URL(base)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    return new PostConnection(socket, host)
  }

  close(): void {
    this.#settle = null
    this.#socket.destroy()
  }

  /** The answer, once all of it is here. */
  post({ path, headers, body }: Post): Promise<Answer> {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const length = Buffer.byteLength(body)
    return this.#send(
      `POST ${path} HTTP/1.1\r\nhost: ${this.#host}\r\n${lines.join('')}content-type: application/json\r\ncontent-length: ${length}${headEnd}${body}`,
    )
  }

  get(path: string): Promise<Answer> {
    return this.#send(`GET ${path} HTTP/1.1\r\nhost: ${this.#host}${headEnd}`)
  }

  #send(request: string): Promise<Answer> {
    this.#socket.write(request)
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
  }

  #take(text: string): void {
    if (this.#answer === null) {
      this.#received += text
      const end = this.#received.indexOf(headEnd)
      if (end < 0) return
      const head = this.#received.slice(0, end)
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1])
      if (Number.isNaN(length)) this.#settle?.reject(new Error('an answer without a Content-Length'))
      this.#answer = answerOf(head)
      this.#missing = end + headEnd.length + length - this.#received.length
    } else this.#missing -= text.length
    if (this.#missing > 0) return
    const [answer, settle] = [this.#answer, this.#settle]
    this.#answer = null
    this.#received = ''
    this.#settle = null
    settle?.resolve(answer)
  }
}

function answerOf(head: string): Answer {
  const status = Number(head.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length))
  const location = status === 307 ? (/\r\nlocation: (\S+)/i.exec(head)?.[1] ?? null) : null
  const retryAfter = status === 503 ? (/\r\nretry-after: (\S+)/i.exec(head)?.[1] ?? null) : null
  return { status, location, retryAfter }
}

/**
 * Sends `count` requests through `connections` spread evenly over the servers, each with one request at a time. `next`
 * makes the next one for a server. Every answer must be `status`, or a redirect, of which `redirected` is told: it takes
 * no part in the figures.
 */
export async function drive(
  servers: readonly string[],
  options: { connections: number; count: number; status: number },
  next: (server: string) => Post,
  redirected: (post: Post, from: string, location: string) => void = (_post, from) => {
    throw new Error(`${from} redirects`)
  },
): Promise<Load> {
  const tookMs: number[] = []
  let left = options.count
  const client = async (number: number): Promise<void> => {
    const server = servers[number % servers.length] as string
    const connection = await PostConnection.open(server)
    while (left > 0) {
      left -= 1
      const startedMs = performance.now()
      const post = next(server)
      const { status, location } = await connection.post(post)
      if (status === 307 && location !== null) {
        redirected(post, server, location)
        left += 1
        continue
      }
      if (status !== options.status) throw new Error(`${server} answered ${status}`)
      tookMs.push(performance.now() - startedMs)
    }
    connection.close()
  }
  const startedMs = performance.now()
  await Promise.all(Array.from({ length: options.connections }, (_, number) => client(number)))
  const perSecond = tookMs.length / ((performance.now() - startedMs) / 1_000)
  return { perSecond, p99Ms: quantile(tookMs, 0.99) }
}

/** Processor time that the nodes have used so far; 0 where it can't be told. */
export async function usedMs(cluster: TestCluster): Promise<number> {
  return [...(await pidsOf(cluster)).values()].reduce((sum, pid) => sum + processorMs(pid), 0)
}
