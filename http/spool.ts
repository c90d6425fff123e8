/** Files on disk that an import is written to and read from, so that its size is bounded by the disk, not by memory. */
import { mkdtemp, open, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fault } from '../node/faults.ts'

/** Gathered before a write, and read at once: few system calls, little memory. */
const chunkSizeBytes = 128 * 1024

function translated(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'ENOSPC') return error
  return new Fault('disk-full', 'there is no room for the file on this node’s disk', {}, { cause: error })
}

/** Appended to, then read from its beginning as often as needed. It has no name, so that no crash leaves it behind. */
export class Spool {
  readonly #handle: FileHandle
  #waiting: Uint8Array[] = []
  #waitingSizeBytes = 0
  #sizeBytes = 0

  private constructor(handle: FileHandle) {
    this.#handle = handle
  }

  static async open(): Promise<Spool> {
    try {
      const directory = await mkdtemp(join(tmpdir(), 'souk-import-'))
      try {
        return new Spool(await open(join(directory, 'spool'), 'wx+', 0o600))
      } finally {
        // The open file lives on without its name (POSIX) until it is closed, by us or by the end of the process.
        await rm(directory, { recursive: true, force: true })
      }
    } catch (error) {
      throw translated(error)
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#waiting.push(bytes)
    this.#waitingSizeBytes += bytes.byteLength
    if (this.#waitingSizeBytes >= chunkSizeBytes) await this.#flush()
  }

  async appendLine(text: string): Promise<void> {
    await this.append(Buffer.from(`${text}\n`))
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#waiting, this.#waitingSizeBytes)
    this.#waiting = []
    this.#waitingSizeBytes = 0
    try {
      for (let written = 0; written < bytes.length;) {
        const { bytesWritten } = await this.#handle.write(
          bytes,
          written,
          bytes.length - written,
          this.#sizeBytes,
        )
        written += bytesWritten
        this.#sizeBytes += bytesWritten
      }
    } catch (error) {
      throw translated(error)
    }
  }

  async *chunks(): AsyncGenerator<Buffer> {
    await this.#flush()
    for (let offset = 0; offset < this.#sizeBytes;) {
      const { bytesRead, buffer } = await this.#handle.read(
        Buffer.alloc(chunkSizeBytes),
        0,
        chunkSizeBytes,
        offset,
      )
      if (bytesRead === 0) return
      offset += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  }

  /** What `appendLine` wrote. */
  async *lines(): AsyncGenerator<string> {
    yield* linesOf(this.chunks(), 'the spool', Number.MAX_SAFE_INTEGER)
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}

/** Texts between line feeds. Faults `invalid-request` for what is no UTF-8, and for a line that never ends. */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  what: string,
  lineLengthMax: number,
): AsyncGenerator<string> {
  let rest = ''
  for await (const text of texts(chunks, what)) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > lineLengthMax)
      throw new Fault('invalid-request', `${what} has a line of more than ${lineLengthMax} characters`)
    yield* lines
  }
  if (rest !== '') yield rest
}

/** Strict UTF-8, character by character over the borders of chunks. Fault `invalid-request`. */
export async function* texts(chunks: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const decoded = (bytes: Uint8Array | null): string => {
    try {
      return bytes === null ? decoder.decode() : decoder.decode(bytes, { stream: true })
    } catch (error) {
      throw new Fault('invalid-request', `${what} is not UTF-8`, {}, { cause: error })
    }
  }
  for await (const chunk of chunks) yield decoded(chunk)
  yield decoded(null)
}
