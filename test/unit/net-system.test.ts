import { describe, expect, test } from 'vitest'
import { isFault } from '../../node/faults.ts'
import { systemClock, systemLogger, systemPasswordHasher, systemRandom } from '../../node/system.ts'

describe('passwords', () => {
  test('a hash verifies its password and no other, and describes itself', async () => {
    const hasher = systemPasswordHasher()
    const hash = await hasher.hash('päss word 1')
    expect(hash).toMatch(/^scrypt\$15\$8\$3\$/)
    expect(await hasher.verify('päss word 1', hash)).toBe(true)
    expect(await hasher.verify('pa\u0308ss word 1', hash)).toBe(true)
    expect(await hasher.verify('pass word 1', hash)).toBe(false)
    expect(await hasher.verify('päss word 1', 'plain')).toBe(false)
  })

  test('beyond the bound people are told to come back', async () => {
    const hasher = systemPasswordHasher()
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => hasher.hash('12345678')))
    const refused = results.filter((result) => result.status === 'rejected')
    expect(refused).toHaveLength(2)
    for (const { reason } of refused) expect(isFault(reason) && reason.code).toBe('overloaded')
    expect(await hasher.hash('12345678')).toMatch(/^scrypt/)
  })
})

describe('clock, chance and log', () => {
  test('a cancelled timer never fires; deferred work runs in order', async () => {
    const clock = systemClock()
    const seen: string[] = []
    await new Promise<void>((resolve) => {
      clock.timer(1, () => seen.push('cancelled'))()
      clock.defer(() => seen.push('first'))
      clock.defer(() => seen.push('second'))
      clock.timer(5, resolve)
    })
    expect(seen).toEqual(['first', 'second'])
  })

  test('random numbers are in [0, 1) and bytes as many as asked for', () => {
    const random = systemRandom()
    for (let draw = 0; draw < 1000; draw += 1) {
      const value = random.next()
      expect(value >= 0 && value < 1).toBe(true)
    }
    expect(random.bytes(24)).toHaveLength(24)
  })

  test('secrets are cut out of log lines', () => {
    const lines: string[] = []
    const to = { write: (line: string) => void lines.push(line) }
    const logger = systemLogger({ level: 'info', base: { node: 'n1' }, to })
    logger.info({ token: 'abc', body: { email: 'a@b.c' }, node: 'n2' }, 'hello')
    logger.debug({}, 'not shown')
    expect(lines).toHaveLength(1)
    expect(lines[0]).not.toMatch(/abc|a@b\.c/)
    expect(JSON.parse(lines[0] as string)).toMatchObject({ level: 'info', msg: 'hello' })
  })
})
