/** A CSV file as records with their line numbers (RFC 4180; csv-parse does the reading), one chunk after the other. */
import { finished } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import { CsvError, parse } from 'csv-parse'
import { Fault } from '../../node/faults.ts'
import { Header } from './columns.ts'

/** `line` is the first physical line of the record, the header being 1. */
export type CsvRecord = { readonly line: number; readonly fields: readonly string[] }
/** The header, then the records as they are read: once. */
export type CsvFile = { readonly header: Header; readonly records: AsyncIterable<CsvRecord> }

/** A record longer than this is a quote that was never closed; the largest product field has 100,000 characters. */
const recordLengthMax = 2_000_000

type Parsed = { record: string[]; info: { bytes: number } }

function unreadable(why: string, cause?: unknown): Fault {
  return new Fault('invalid-request', `the CSV file is not readable: ${why}`, {}, { cause })
}

/** Bytes that were read and belong to no record yet, to count their line breaks: csv-parse counts CR LF in quotes twice. */
class LineCounter {
  #bytes: Buffer = Buffer.alloc(0)
  /** Offset in the file of the first byte held, and the line that it is on. */
  #offset = 0
  line = 1

  get end(): number {
    return this.#offset + this.#bytes.length
  }

  add(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
  }

  /** The record that began here ends at `end`; CR LF is one break, also when the reader stopped between the two. */
  pass(end: number): void {
    const bytes = this.#bytes
    let length = end - this.#offset
    if (bytes[length - 1] === 13 && bytes[length] === 10) length += 1
    for (let at = 0; at < length; at += 1) {
      if (bytes[at] === 10) this.line += 1
      else if (bytes[at] === 13 && bytes[at + 1] !== 10) this.line += 1
    }
    this.#bytes = bytes.subarray(length)
    this.#offset += length
  }
}

/** In turns, because a large file takes seconds and a node that is silent that long loses its lease. */
async function* recordsOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<CsvRecord> {
  let found: Parsed[] = []
  const counter = new LineCounter()
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const parser = parse({
    bom: true,
    info: true,
    relax_column_count: true,
    max_record_size: recordLengthMax,
    record_delimiter: ['\r\n', '\n', '\r'],
  })
  parser.on('data', (record: Parsed) => found.push(record))
  const ended = finished(parser)
  // The failure is read from `ended` below; until then nobody else may call it unhandled.
  ended.catch(() => undefined)
  const numbered = function* (complete: boolean): Generator<CsvRecord> {
    const ready = found
    found = []
    for (const [index, { record, info }] of ready.entries()) {
      // Whether a line feed follows the carriage return at its end is only known with the next chunk.
      if (!complete && info.bytes >= counter.end) {
        found = [...ready.slice(index), ...found]
        return
      }
      yield { line: counter.line, fields: record }
      counter.pass(info.bytes)
    }
  }
  for await (const chunk of chunks) {
    if (parser.destroyed) break
    checkText(decoder, chunk)
    counter.add(chunk)
    parser.write(chunk)
    await setImmediate()
    yield* numbered(false)
  }
  checkText(decoder, null)
  parser.end()
  try {
    await ended
  } catch (error) {
    if (error instanceof CsvError) throw unreadable(error.message, error)
    throw error
  }
  yield* numbered(true)
}

function checkText(decoder: TextDecoder, chunk: Buffer | null): void {
  try {
    if (chunk === null) decoder.decode()
    else decoder.decode(chunk, { stream: true })
  } catch (error) {
    throw new Fault('invalid-request', 'the CSV file is not UTF-8', {}, { cause: error })
  }
}

async function* filledOnly(records: AsyncIterator<CsvRecord>): AsyncGenerator<CsvRecord> {
  for (;;) {
    const next = await records.next()
    if (next.done === true) return
    if (next.value.fields.some((field) => field !== '')) yield next.value
  }
}

/** Faults `invalid-request` for a file that is no CSV, no UTF-8, or has no Handle column; also while it is read on. */
export async function readCsv(chunks: AsyncIterable<Buffer>): Promise<CsvFile> {
  const records = recordsOf(chunks)
  const first = await records.next()
  if (first.done === true) throw unreadable('it is empty')
  const header = new Header(first.value.fields)
  if (!header.has('Handle')) throw unreadable('it has no Handle column')
  if (header.repeated.length > 0) throw unreadable(`it has the column ${header.repeated[0]} twice`)
  return { header, records: filledOnly(records) }
}
