/** ARCHITECTURE.md names real files, and a test for each promise. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repositoryFiles, root } from '../support/sources.ts'

const promises = 10
const page = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
const files = new Set(repositoryFiles())

/** Cells of the rows of the table of promises, by promise. */
function testsOf(promise: string): string[] {
  const row = page.split('\n').find((line) => line.startsWith(`| ${promise} |`)) ?? ''
  return [...row.matchAll(/`(test\/[^`]+)`/g)].flatMap(([, path]) => path ?? [])
}

test.each(Array.from({ length: promises }, (_, index) => `P${index + 1}`))(
  '%s is held by tests that exist',
  (promise) => {
    const named = testsOf(promise)
    expect(named.length).toBeGreaterThan(1)
    expect(named.filter((path) => !path.endsWith('.test.ts') || !files.has(path))).toEqual([])
  },
)

test('no promise is kept by simulation alone', () => {
  for (let number = 1; number <= promises; number += 1)
    expect(testsOf(`P${number}`).filter((path) => !path.startsWith('test/sim/'))).not.toEqual([])
})
