import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { helpText } from '../../node/flags.ts'
import { root } from '../support/sources.ts'

const readme = readFileSync(join(root, 'README.md'), 'utf8')

test('the README names every flag of a node', () => {
  const flags = [...helpText().matchAll(/^ {2}(--[a-z0-9-]+)/gm)].map(([, flag]) => flag as string)
  expect(flags.length).toBeGreaterThan(20)
  expect(flags.filter((flag) => !readme.includes(`\`${flag}`))).toEqual([])
})

test('the README names every verb of the launcher', () => {
  const verbs = [
    'up',
    'status',
    'start',
    'resume',
    'add',
    'stop',
    'down',
    'kill',
    'pause',
    'wipe',
    'remove',
    'logs',
  ]
  expect(verbs.filter((verb) => !readme.includes(`\`${verb}`))).toEqual([])
})
