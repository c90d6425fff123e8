/** A CSV file as records with their line numbers (RFC 4180; csv-parse does the reading). */
import { finished } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import { CsvError, parse } from 'csv-parse'
import { Fault } from '../../node/faults.ts'
import { decodeText } from '../input.ts'
import { Header } from './columns.ts'

/** `line` is the first physical line of the record, the header being 1. */
export type CsvRecord = { readonly line: number; readonly fields: readonly string[] }
export type CsvFile = { readonly header: Header; readonly records: readonly CsvRecord[] }

/** A record longer than this is a quote that was never closed; the largest product field has 100,000 characters. */
const recordLengthMax = 2_000_000

type Parsed = { record: string[]; info: { bytes: number } }

function unreadable(why: string, cause?: unknown): Fault {
  return new Fault('invalid-request', `the CSV file is not readable: ${why}`, {}, { cause })
}

/** Bytes parsed before others have a turn: some milliseconds of work. */
const chunkSizeBytes = 128 * 1024

/** Parses in turns, because a large file takes seconds and a node that is silent that long loses its lease. */
async function parsed(bytes: Buffer): Promise<Parsed[]> {
  const records: Parsed[] = []
  const parser = parse({
    bom: true,
    info: true,
    relax_column_count: true,
    max_record_size: recordLengthMax,
    record_delimiter: ['\r\n', '\n', '\r'],
  })
  parser.on('data', (record: Parsed) => records.push(record))
  const ended = finished(parser)
  // The failure is read from `ended` below; until then nobody else may call it unhandled.
  ended.catch(() => undefined)
  for (let offset = 0; offset < bytes.length && !parser.destroyed; offset += chunkSizeBytes) {
    parser.write(bytes.subarray(offset, offset + chunkSizeBytes))
    await setImmediate()
  }
  parser.end()
  try {
    await ended
  } catch (error) {
    if (error instanceof CsvError) throw unreadable(error.message, error)
    throw error
  }
  return records
}

/** Line breaks between two offsets; CR LF is one. */
function lineBreaks(bytes: Buffer, from: number, to: number): number {
  let count = 0
  for (let at = from; at < to; at += 1) {
    if (bytes[at] === 10) count += 1
    else if (bytes[at] === 13 && bytes[at + 1] !== 10) count += 1
  }
  return count
}

/** Faults `invalid-request` for a file that is no CSV, no UTF-8, or has no Handle column. */
export async function readCsv(bytes: Buffer): Promise<CsvFile> {
  decodeText(bytes, 'the CSV file')
  const records: CsvRecord[] = []
  let line = 1
  let offset = 0
  for (const { record, info } of await parsed(bytes)) {
    records.push({ line, fields: record })
    // csv-parse counts CR LF inside quotes twice, so lines are counted here, up to where the record ends.
    const end = bytes[info.bytes - 1] === 13 && bytes[info.bytes] === 10 ? info.bytes + 1 : info.bytes
    line += lineBreaks(bytes, offset, end)
    offset = end
  }
  const [first, ...rest] = records
  if (first === undefined) throw unreadable('it is empty')
  const header = new Header(first.fields)
  if (!header.has('Handle')) throw unreadable('it has no Handle column')
  if (header.repeated.length > 0) throw unreadable(`it has the column ${header.repeated[0]} twice`)
  return { header, records: rest.filter(({ fields }) => fields.some((field) => field !== '')) }
}
