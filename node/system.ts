/**
 * The production side of the small ports: clock, chance, passwords, log. The simulator has its own
 * (DESIGN.md section 10), so nothing else in the node names timers, `Date` or randomness.
 */
import { randomBytes, randomInt, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { destination, pino } from 'pino'
import type { DestinationStream } from 'pino'
import { Fault } from './faults.ts'
import type { Clock, Logger, PasswordHasher, Random } from './ports.ts'

export function systemClock(): Clock {
  return {
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
    timer: (delayMs, callback) => {
      const timeout = setTimeout(callback, delayMs)
      return () => clearTimeout(timeout)
    },
    defer: (callback) => {
      setImmediate(callback)
    },
  }
}

/** 2^48 - 1: the greatest range that `crypto.randomInt` draws from. */
const randomRange = 2 ** 48 - 1

export function systemRandom(): Random {
  return {
    next: () => randomInt(randomRange) / randomRange,
    bytes: (count) => randomBytes(count),
  }
}

// ---------------------------------------------------------------- passwords

/** OWASP's recommendation for scrypt with 32 MiB: N = 2^15, r = 8, p = 3 (Password Storage Cheat Sheet). */
const scryptCost = { N: 2 ** 15, r: 8, p: 3 } as const
const saltSizeBytes = 16
const hashSizeBytes = 32
/** scrypt needs 128 × N × r bytes; twice that leaves room for OpenSSL's own. */
const scryptMemoryBytesMax = 2 * 128 * scryptCost.N * scryptCost.r
/** Each takes 32 MiB and a thread of libuv's four, which SQLite and files don't use but DNS does. */
const hashesRunningMax = 2
/** Up to half a second each on a busy machine: more waiting would answer nobody in time. */
const hashesWaitingMax = 16

const scryptAsync = promisify<string, Uint8Array, number, object, Buffer>(scrypt)
const hashPattern = /^scrypt\$(\d{1,2})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9_-]{22})\$([A-Za-z0-9_-]{43})$/

/** At most so many at once, so many waiting, and the rest is told to come back. */
function bounded(runningMax: number, waitingMax: number): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0
  const waiting: (() => void)[] = []
  return async (work) => {
    if (running >= runningMax) {
      if (waiting.length >= waitingMax)
        throw new Fault('overloaded', 'too many people are logging on', {}, { retryAfterSeconds: 2 })
      // The one that finishes hands its place over, so `running` stays as it is.
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else {
      running += 1
    }
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}

/**
 * scrypt in self-describing strings `scrypt$log2(N)$r$p$SALT$HASH` (base64url), so that the cost can be raised
 * later. Fault `overloaded` when too many run at once.
 */
export function systemPasswordHasher(): PasswordHasher {
  const run = bounded(hashesRunningMax, hashesWaitingMax)
  return {
    hash: (password) =>
      run(async () => {
        const salt = randomBytes(saltSizeBytes)
        const { N, r, p } = scryptCost
        const options = { N, r, p, maxmem: scryptMemoryBytesMax }
        const hash = await scryptAsync(password.normalize('NFC'), salt, hashSizeBytes, options)
        return `scrypt$${Math.log2(N)}$${r}$${p}$${salt.toString('base64url')}$${hash.toString('base64url')}`
      }),
    verify: (password, hash) =>
      run(async () => {
        const parts = hashPattern.exec(hash)
        if (parts === null) return false
        const [, log2N, r, p, salt, expected] = parts as unknown as string[]
        const options = { N: 2 ** Number(log2N), r: Number(r), p: Number(p), maxmem: scryptMemoryBytesMax }
        const wanted = Buffer.from(expected as string, 'base64url')
        const saltBytes = Buffer.from(salt as string, 'base64url')
        const given = await scryptAsync(password.normalize('NFC'), saltBytes, wanted.length, options)
        return timingSafeEqual(given, wanted)
      }),
  }
}

// ---------------------------------------------------------------- log

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** Names under which a secret or a person could slip into a log line, at the top or one level down. */
const secretNames = [
  'password',
  'token',
  'ticket',
  'secret',
  'authorization',
  'cookie',
  'email',
  'contact',
  'note',
  'privateKey',
  'proof',
  'signature',
]

/**
 * JSON lines on standard output (or `to`), written at once: a line that explains a crash must not die with it.
 * `base` goes into every line.
 */
export function systemLogger(options: { level: LogLevel; base: object; to?: DestinationStream }): Logger {
  const logger = pino(
    {
      level: options.level,
      base: options.base,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretNames.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
    },
    options.to ?? destination({ fd: 1, sync: true }),
  )
  return {
    debug: (data, message) => logger.debug(data, message),
    info: (data, message) => logger.info(data, message),
    warn: (data, message) => logger.warn(data, message),
    error: (data, message) => logger.error(data, message),
  }
}
