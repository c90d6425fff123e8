/**
 * Golden transcripts: clusters of bare cores, moved step by step as in a figure of the paper. Each .txt file
 * is read as it stands and compared; nothing here writes one. The format is in README.md beside this file.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { GoldenCluster } from './interpreter.ts'

const directory = import.meta.dirname
const files = readdirSync(directory).filter((name) => name.endsWith('.txt'))

/** The file again, with what the commands really print in the place of what it says they print. */
function replay(text: string): string {
  const cluster = new GoldenCluster()
  const lines: string[] = []
  let isExpectation = false
  for (const line of text.split('\n')) {
    if (line.startsWith('> ')) {
      isExpectation = true
      lines.push(line, ...cluster.run(line.slice(2)))
    } else if (line === '' || line.startsWith('#')) {
      isExpectation = false
      lines.push(line)
    } else if (!isExpectation) {
      throw new Error(`not a command, a comment or an expectation: ${line}`)
    }
  }
  return lines.join('\n')
}

test.each(files)('%s', (file) => {
  const text = readFileSync(join(directory, file), 'utf8')
  expect(replay(text)).toBe(text)
})

test('there are transcripts', () => {
  expect(files.length).toBeGreaterThan(5)
})
