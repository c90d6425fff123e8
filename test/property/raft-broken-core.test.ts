/**
 * The simulation is itself tested: cores with one rule broken, made here by replacing a module's function
 * at load, must each be found within a bounded number of seeds.
 */
import assert from 'node:assert/strict'
import { afterEach, test, vi } from 'vitest'
import { committedIndex } from '../../node/core/quorum.ts'
import type * as Election from '../../node/core/raft/election.ts'
import type * as Lease from '../../node/core/raft/lease.ts'
import type * as LogFile from '../../node/core/raft/log.ts'
import type * as Proposals from '../../node/core/raft/proposals.ts'
import type * as Core from '../../node/core/raft/raft.ts'
import type * as Replication from '../../node/core/raft/replication.ts'
import type * as State from '../../node/core/raft/state.ts'
import type { RaftState } from '../../node/core/raft/state.ts'
import type * as Simulation from '../support/raft-simulation.ts'

const core = '../../node/core/raft'
/** The rarest ones take hundreds of runs, on a machine that others use too. */
const timeoutMs = 300_000

/** Which kind of run is likely to find it (see the simulation), and within how many of them it must be found. */
type Seeds = { readonly first: number; readonly count: number }
const calm: Seeds = { first: 0, count: 50 }
const hectic: Seeds = { first: 1, count: 50 }
const shuffling: Seeds = { first: 3, count: 50 }
const kinds = 4

type Broken = { readonly name: string; readonly seeds: Seeds; readonly breakIt: () => void }

const replaced = new Set<string>()

/** Replaces exports of one module for all who import it. */
function replace<Module extends object>(file: string, change: (real: Module) => Partial<Module>): void {
  replaced.add(file)
  vi.doMock(`${core}/${file}`, async (load: () => Promise<Module>) => {
    const real = await load()
    return { ...real, ...change(real) }
  })
}

function matchIndexOf(state: RaftState) {
  return (voter: string) =>
    voter === state.self
      ? state.log.stableIndex
      : ([...state.progress].find(([id]) => id === voter)?.[1].matchIndex ?? 0)
}

const variants: Broken[] = [
  {
    name: 'section 5.4.2: commits entries of old terms by counting',
    seeds: { ...hectic, count: 600 },
    breakIt: () =>
      replace<typeof Replication>('replication.ts', () => ({
        advanceCommit: (state) => {
          const index = committedIndex(state.config.voters, matchIndexOf(state))
          if (index > state.commitIndex) state.commitThrough(index)
        },
      })),
  },
  {
    name: 'section 5.4.1: votes without comparing the logs',
    seeds: hectic,
    breakIt: () =>
      replace<typeof LogFile>('log.ts', (real) => ({
        RaftLog: class extends real.RaftLog {
          override isUpToDate(): boolean {
            return true
          }
        },
      })),
  },
  {
    name: 'section 5.2: votes twice in a term',
    seeds: hectic,
    breakIt: () =>
      replace<typeof Election>('election.ts', (real) => ({
        onVote: (state, from, message) => {
          if (state.role === 'follower' && state.primary === null) state.vote = null
          real.onVote(state, from, message)
        },
      })),
  },
  {
    name: 'section 5.3: appends without comparing what comes before',
    seeds: hectic,
    breakIt: () =>
      replace<typeof Replication>('replication.ts', (real) => ({
        onAppend: (state, from, message) => {
          const previousTerm = state.log.termAt(message.previousIndex) ?? message.previousTerm
          real.onAppend(state, from, { ...message, previousTerm })
        },
      })),
  },
  {
    name: 'section 5.3: a delayed append cuts off entries that agree with it',
    seeds: hectic,
    breakIt: () =>
      replace<typeof Replication>('replication.ts', (real) => ({
        onAppend: (state, from, message) => {
          const next = message.previousIndex + 1
          const agrees = state.log.termAt(message.previousIndex) === message.previousTerm
          if (agrees && next > state.commitIndex && next <= state.log.lastIndex) state.truncateFrom(next)
          real.onAppend(state, from, message)
        },
      })),
  },
  {
    name: 'dissertation 6.4: reads are served without a round',
    seeds: shuffling,
    breakIt: () =>
      replace<typeof Replication>('replication.ts', () => ({
        confirmedRound: (state) => state.lease.latestRound,
      })),
  },
  {
    name: 'dissertation 6.4.1: the lease is counted from the answer, not from when it was sent',
    seeds: calm,
    breakIt: () =>
      replace<typeof Lease>('lease.ts', (real) => ({
        Lease: class extends real.Lease {
          override untilMs(nowMs: number): number {
            const untilMs = super.untilMs(nowMs)
            return untilMs === -Infinity ? untilMs : untilMs + 600
          }
        },
      })),
  },
  {
    name: '2015 bug: configuration changes before an entry of the own term is committed',
    seeds: { ...shuffling, count: 1500 },
    breakIt: () =>
      replace<typeof Proposals>('proposals.ts', (real) => ({
        changeConfig: (state, ref, config) => {
          const { termStartIndex } = state
          state.termStartIndex = 0
          real.changeConfig(state, ref, config)
          state.termStartIndex = termStartIndex
        },
      })),
  },
  {
    name: 'dissertation 6.4: reads before an entry of the own term is committed',
    seeds: shuffling,
    breakIt: () =>
      replace<typeof State>('state.ts', (real) => ({
        RaftState: class extends real.RaftState {
          override get hasCommittedInTerm(): boolean {
            return true
          }
        },
      })),
  },
  {
    name: 'section 7: takes a snapshot in the place of a log that goes further',
    seeds: hectic,
    breakIt: () =>
      replace<typeof Core>('raft.ts', (real) => ({
        Raft: class extends real.Raft {
          override wantsSnapshot(): boolean {
            return true
          }
        },
      })),
  },
  {
    name: 'section 7: goes on with the old log behind an installed snapshot',
    seeds: hectic,
    breakIt: () =>
      replace<typeof LogFile>('log.ts', (real) => ({
        RaftLog: class extends real.RaftLog {
          override reload(): void {}
        },
      })),
  },
]

afterEach(() => {
  for (const file of replaced) vi.doUnmock(`${core}/${file}`)
  replaced.clear()
  vi.resetModules()
})

test.each(variants)('finds: $name', { timeout: timeoutMs }, async ({ breakIt, seeds }) => {
  vi.resetModules()
  breakIt()
  const { simulate } = (await import('../support/raft-simulation.ts')) as typeof Simulation
  for (let run = 0; run < seeds.count; run += 1) {
    try {
      simulate(seeds.first + run * kinds)
    } catch (error) {
      assert.match(String(error), /RaftViolation|InvariantError/)
      return
    }
  }
  assert.fail(`not found in ${seeds.count} runs`)
})
