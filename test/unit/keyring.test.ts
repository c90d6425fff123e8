import { hkdfSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { parseKeyring } from '../../node/keyring.ts'

const keyA = Buffer.alloc(32, 1).toString('base64')
const keyB = Buffer.alloc(32, 2).toString('base64')

describe('the cluster secret', () => {
  test('the first key signs and all keys verify', () => {
    const old = parseKeyring(`old:${keyA}\n`)
    const both = parseKeyring(`# rotated in spring\nnew:${keyB}\r\nold:${keyA}\n\n`)
    const byOld = old.sign('session', 'payload')
    const byNew = both.sign('session', 'payload')
    expect(byOld.keyId).toBe('old')
    expect(byNew.keyId).toBe('new')
    expect(both.verify('session', byOld.keyId, 'payload', byOld.signature)).toBe(true)
    expect(both.verify('session', byNew.keyId, 'payload', byNew.signature)).toBe(true)
    expect(old.verify('session', byNew.keyId, 'payload', byNew.signature)).toBe(false)
    expect(both.keyIds()).toEqual(['new', 'old'])
  })

  test('a signature holds for its label, payload and key only', () => {
    const keyring = parseKeyring(`a:${keyA}\nb:${keyB}`)
    const { keyId, signature } = keyring.sign('session', 'payload')
    expect(keyring.verify('ticket', keyId, 'payload', signature)).toBe(false)
    expect(keyring.verify('session', keyId, 'payloac', signature)).toBe(false)
    expect(keyring.verify('session', 'b', 'payload', signature)).toBe(false)
    expect(keyring.verify('session', keyId, 'payload', signature.slice(1))).toBe(false)
    expect(keyring.verify('session', keyId, 'payload', '')).toBe(false)
    expect(keyring.verify('session', keyId, new TextEncoder().encode('payload'), signature)).toBe(true)
  })

  test('a signature has one spelling only', () => {
    const keyring = parseKeyring(`a:${keyA}`)
    const { keyId, signature } = keyring.sign('session', 'payload')
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const accepted = [...alphabet.split(''), ''].filter((last) =>
      keyring.verify('session', keyId, 'payload', signature.slice(0, -1) + last),
    )
    expect(accepted).toEqual([signature.at(-1)])
    expect(keyring.verify('session', keyId, 'payload', `${signature}=`)).toBe(false)
  })

  test('the pre-shared key stays the same while a new key is put first', () => {
    const before = parseKeyring(`old:${keyA}`).preSharedKey()
    const during = parseKeyring(`new:${keyB}\nold:${keyA}`).preSharedKey()
    const after = parseKeyring(`new:${keyB}`).preSharedKey()
    expect(during).toEqual(before)
    expect(after).not.toEqual(before)
    const expected = hkdfSync('sha256', Buffer.alloc(32, 1), 'souk', 'souk pre-shared-key v1', 32)
    expect(before).toEqual(Buffer.from(expected))
  })

  test.each([
    ['', 'holds no key'],
    ['# only a comment', 'holds no key'],
    ['nocolon', 'line 1: expected KEYID:BASE64KEY'],
    [`bad id:${keyA}`, 'line 1: a key id'],
    [`a:${keyA}\nb:!!!`, 'line 2: the key is not base64'],
    ['a:c2hvcnQ=', 'line 1: the key is shorter than 16 bytes'],
    [`a:${keyA}\na:${keyB}`, 'line 2: this key id occurs twice'],
    [`a:${Buffer.alloc(2000).toString('base64')}`, 'line 1: the key is longer'],
  ])('%j is refused by line and without an echo', (text, message) => {
    let shown = ''
    try {
      parseKeyring(text)
    } catch (error) {
      shown = String(error)
    }
    expect(shown).toContain(message)
    expect(shown).not.toContain(keyA)
    expect(shown).not.toContain('c2hvcnQ=')
  })
})
