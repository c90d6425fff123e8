/** The contract suites leave no method of the ports out: a new one without a test of it fails here. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repositoryFiles, root } from '../support/sources.ts'

/** Ports that have a real and a simulated (or a file and a memory) version, and where they are declared. */
const ports = {
  Transport: 'node/ports.ts',
  TransportHandlers: 'node/ports.ts',
  LogReader: 'node/core/raft/types.ts',
  LogStore: 'node/ports.ts',
  Tables: 'node/ports.ts',
  ShopStore: 'node/ports.ts',
  SnapshotSource: 'node/ports.ts',
  SnapshotSink: 'node/ports.ts',
  LocalStore: 'node/ports-local.ts',
}

const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** The suites, and what they share: the worlds record what a transport tells its handlers. */
const suites = repositoryFiles()
  .filter((path) => /^test\/(contract\/|support\/(transport|store)-world)/.test(path))
  .map(read)
  .join('\n')

function membersOf(name: string, source: string): string[] {
  const body = new RegExp(`export interface ${name}\\b[^{]*\\{(.*?)\\n\\}`, 's').exec(source)?.[1] ?? ''
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)[<(:]/gm)].flatMap(([, member]) => member ?? [])
}

test.each(Object.entries(ports))('%s', (name, file) => {
  const members = membersOf(name, read(file))
  expect(members.length).toBeGreaterThan(0)
  expect(members.filter((member) => !new RegExp(`\\.${member}\\b|\\b${member}\\(`).test(suites))).toEqual([])
})
