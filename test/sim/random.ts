/** Seeded randomness: xoshiro128** (Blackman and Vigna, 2018), seeded by splitmix32. The same seed, the same draws. */
import type { Random } from '../../node/ports.ts'

export interface SeededRandom extends Random {
  /** Uniform integer in [0, bound). */
  below(bound: number): number
  /** Uniform in [from, to). */
  between(from: number, to: number): number
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
  shuffle<T>(items: readonly T[]): T[]
  /** An independent stream: drawing from it does not move this one. */
  fork(name: string): SeededRandom
}

function splitmix32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735a2d97)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }
}

/** FNV-1a: turns a fork's name into a number. */
function hashName(name: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < name.length; index += 1)
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193)
  return hash >>> 0
}

export function seededRandom(seed: number): SeededRandom {
  const mix = splitmix32(seed)
  let [a, b, c, d] = [mix(), mix(), mix(), mix()]
  const draw = (): number => {
    const product = Math.imul(b, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = (d << 11) | (d >>> 21)
    return result
  }
  const random: SeededRandom = {
    next: () => draw() / 2 ** 32,
    bytes: (count) => Uint8Array.from({ length: count }, () => draw() & 0xff),
    below: (bound) => Math.floor((draw() / 2 ** 32) * bound),
    between: (from, to) => from + (draw() / 2 ** 32) * (to - from),
    chance: (probability) => draw() / 2 ** 32 < probability,
    pick: (items) => {
      const item = items[random.below(items.length)]
      if (item === undefined) throw new Error('nothing to pick from')
      return item
    },
    shuffle: (items) => {
      const shuffled = [...items]
      for (let index = shuffled.length - 1; index > 0; index -= 1) {
        const other = random.below(index + 1)
        const [one, two] = [shuffled[index], shuffled[other]]
        shuffled[index] = two as (typeof shuffled)[number]
        shuffled[other] = one as (typeof shuffled)[number]
      }
      return shuffled
    },
    fork: (name) => seededRandom((seed ^ hashName(name)) >>> 0),
  }
  return random
}
