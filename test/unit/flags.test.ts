import { describe, expect, test } from 'vitest'
import { UsageError, environmentName, helpText, parseFlags } from '../../node/flags.ts'

const needed = [
  '--name=n1',
  '--data=/tmp/x',
  '--http=127.0.0.1:8081',
  '--p2p=127.0.0.1:9081',
  '--secret-file=s',
  '--admin-token-file=a',
]

function run(args: readonly string[], environment: Record<string, string> = {}) {
  const parsed = parseFlags(args, environment)
  if (parsed.kind !== 'run') throw new Error(`expected to run, got ${parsed.kind}`)
  return parsed.flags
}

describe('flags', () => {
  test('defaults follow the design', () => {
    const { settings, http } = run([...needed, '--init'])
    expect(http).toEqual({ host: '127.0.0.1', port: 8081 })
    expect(settings).toMatchObject({
      init: true,
      eligible: true,
      publicUrl: 'http://127.0.0.1:8081',
      p2p: '127.0.0.1:9081',
      serverSetSize: 3,
      cartAcks: 2,
      cartSyncIntervalMs: 2_000,
      orderWaitMs: 5_000,
      heartbeatMs: 100,
      electionTimeoutMinMs: 500,
      electionTimeoutMaxMs: 1_000,
      currency: 'USD',
    })
  })

  test('every flag can come from the environment, and the command line wins', () => {
    const { settings } = run([...needed, '--cart-acks=3', '--join=a:1,b:2'], {
      SOUK_CART_ACKS: '1',
      SOUK_ORDER_WAIT: '250ms',
      SOUK_NOT_ELIGIBLE: '1',
    })
    expect(settings).toMatchObject({ cartAcks: 3, orderWaitMs: 250, eligible: false, join: ['a:1', 'b:2'] })
    expect(environmentName('server-set-size')).toBe('SOUK_SERVER_SET_SIZE')
  })

  test('a switch in the environment is yes or no, nothing else', () => {
    expect(run(needed, { SOUK_INIT: 'true' }).settings.init).toBe(true)
    expect(run(needed, { SOUK_INIT: '0' }).settings.init).toBe(false)
    expect(() => run(needed, { SOUK_INIT: 'maybe' })).toThrow('SOUK_INIT: 1 or true, 0 or false')
  })

  test.each([
    [['--name=n1'], '--http HOST:PORT is missing'],
    [[...needed, '--name=bad name'], '--name'],
    [[...needed, '--http=8081'], '--http: HOST:PORT'],
    [[...needed, '--http=127.0.0.1:99999'], '--http'],
    [[...needed, '--join=nowhere'], '--join: nowhere is not HOST:PORT'],
    [[...needed, '--idle-after=soon'], '--idle-after: a duration'],
    [[...needed, '--cart-acks=4'], '--cart-acks: a whole number from 1 to 3'],
    [[...needed, '--currency=usd'], '--currency'],
    [[...needed, '--heartbeat=400ms'], 'at least three heartbeats'],
    [[...needed, '--election-timeout-max=400ms'], 'must not be shorter'],
    [[...needed, '--unknown'], '--unknown'],
    [[...needed, 'positional'], 'positional'],
  ])('%j is refused with a clear message', (args, message) => {
    expect(() => run(args)).toThrow(UsageError)
    expect(() => run(args)).toThrow(message)
  })

  test('help names every flag and its default', () => {
    expect(parseFlags(['--help'], {})).toEqual({ kind: 'help' })
    for (const word of ['--server-set-size N', '(default 2)', '--not-eligible', 'SOUK_CART_ACKS']) {
      expect(helpText()).toContain(word)
    }
  })
})
