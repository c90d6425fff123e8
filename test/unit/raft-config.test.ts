/** Dissertation, chapter 4: single-server changes. */
import assert from 'node:assert/strict'
import { describe, expect, test } from 'vitest'
import { majorityOf } from '../../node/core/quorum.ts'
import {
  ConfigHistory,
  decodeConfig,
  emptyConfig,
  encodeConfig,
  isAllowedChange,
} from '../../node/core/raft/config.ts'
import type { RaftConfig } from '../../node/core/raft/types.ts'
import { memberId } from '../support/raft-cluster.ts'

function config(voters: string, learners = ''): RaftConfig {
  const ids = (names: string) => names.split(' ').filter(Boolean).map(memberId)
  return { voters: ids(voters), learners: ids(learners) }
}

describe('dissertation, section 4.1: one server at a time', () => {
  test.each([
    ['add learner', config('a'), config('a', 'b')],
    ['remove learner', config('a', 'b'), config('a')],
    ['learner → voter', config('a', 'b'), config('a b')],
    ['voter → learner', config('a b'), config('a', 'b')],
    ['remove voter', config('a b'), config('a')],
    ['remove voter, order does not matter', config('a b c'), config('c a')],
  ])('allowed: %s', (_, from, to) => {
    expect(isAllowedChange(from, to)).toBe(true)
  })

  test.each([
    ['nothing changes', config('a b'), config('b a')],
    ['two voters go', config('a b c'), config('a')],
    ['one comes, one goes', config('a b', 'c'), config('a c')],
    ['a voter that never was a learner (section 4.2.1)', config('a'), config('a b')],
    ['the last voter goes', config('a'), config('')],
    ['the last voter becomes a learner', config('a'), config('', 'a')],
    ['one member twice', config('a'), config('a', 'a')],
  ])('refused: %s', (_, from, to) => {
    expect(isAllowedChange(from, to)).toBe(false)
  })

  test('Figure 4.3: any majority before and any majority after an allowed change share a server', () => {
    for (let count = 1; count <= 8; count += 1) {
      assert(majorityOf(count) + majorityOf(count + 1) > count + 1)
    }
  })
})

test('a configuration in the log is sorted, and anything else is no configuration', () => {
  expect(encodeConfig(config('b a', 'd c'))).toBe('{"voters":["a","b"],"learners":["c","d"]}')
  expect(decodeConfig(encodeConfig(config('b a', 'c')))).toEqual(config('a b', 'c'))
  const bad = ['', '{', 'null', '7', '{}', '{"voters":[],"learners":[]}', '{"voters":["a"],"learners":["a"]}']
  const worse = [
    '{"voters":["a","a"],"learners":[]}',
    '{"voters":"a","learners":[]}',
    '{"voters":[1],"learners":[]}',
  ]
  for (const data of [...bad, ...worse]) assert.equal(decodeConfig(data), null, data)
})

test('section 4.1: the newest configuration in the log holds, and an older one again when it is cut off', () => {
  const history = new ConfigHistory(0, config('a'))
  history.append(3, config('a', 'b'))
  history.append(5, config('a b'))
  expect(history.current).toEqual(config('a b'))
  history.truncateFrom(5)
  expect(history.current).toEqual(config('a', 'b'))
  history.append(6, config('a b'))
  history.commitThrough(6)
  expect(history.committed).toEqual(config('a b'))
  history.truncateFrom(1)
  expect(history.current).toEqual(config('a b'))
  history.reset(9, emptyConfig)
  expect(history.currentIndex).toBe(9)
})
