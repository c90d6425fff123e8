/**
 * A walk through the shop in a real browser, by hand: it needs a Chromium, which npm does not install.
 *
 *   scripts/with-node node test/browser/walk.ts [--url URL] [--admin-token-file FILE] [--shots DIR]
 *
 * Without --url it starts three doors over a fake cluster with the sample catalog. Exit 0: everything was as a
 * shopper expects it. SOUK_CHROMIUM names the browser (default /usr/bin/chromium).
 */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Page } from 'playwright-core'
import { chromium } from 'playwright-core'
import { createHttp } from '../../http/app.ts'
import { parseNodeName } from '../../node/ids.ts'
import type { Logger } from '../../node/ports.ts'
import { FakeReplica, fakeSigner } from '../support/fake-replica.ts'
import { FakeWorld } from '../support/fake-world.ts'
import { adminToken, asAdmin } from '../support/http-door.ts'

const catalog = fileURLToPath(new URL('../../scripts/data/sample-catalog.csv', import.meta.url))
/** Far from the ports of a real cluster. */
const basePort = 18_480
const { values } = parseArgs({
  options: { url: { type: 'string' }, 'admin-token-file': { type: 'string' }, shots: { type: 'string' } },
})

async function fakeCluster(): Promise<{ url: string; stop: () => Promise<void> }> {
  const world = new FakeWorld()
  world.nowMs = Date.now()
  const quiet = (): void => undefined
  const logger: Logger = {
    debug: quiet,
    info: quiet,
    warn: quiet,
    error: (data, message) => console.error(message, data),
  }
  const doors = ['n1', 'n2', 'n3'].map((name, index) => {
    const url = `http://127.0.0.1:${basePort + index}`
    const replica = new FakeReplica(world, { node: parseNodeName(name), url })
    const now = (): number => Date.now()
    return createHttp({
      replica,
      signer: fakeSigner,
      adminToken,
      logger,
      now,
      version: '0',
      secureCookies: false,
    })
  })
  const headers = { ...asAdmin, 'content-type': 'text/csv' }
  await doors[0]?.app.request('/api/admin/import', { method: 'POST', headers, body: readFileSync(catalog) })
  for (const [index, door] of doors.entries()) await door.listen('127.0.0.1', basePort + index)
  const stop = async (): Promise<void> =>
    void (await Promise.all(doors.map(async (door) => await door.close())))
  return { url: `http://127.0.0.1:${basePort + 1}`, stop }
}

async function shot(page: Page, name: string): Promise<void> {
  if (values.shots === undefined) return
  mkdirSync(values.shots, { recursive: true })
  await page.screenshot({ path: join(values.shots, `${name}.png`) })
}

async function shopping(page: Page, url: string): Promise<void> {
  await page.goto(url)
  await shot(page, 'browse')
  await page.selectOption('select[name=sort]', 'price')
  await page.waitForURL(/sort=price/)
  await page.locator('.card').nth(3).click()
  await page.waitForSelector('#add')
  await shot(page, 'product')
  await page.click('#add')
  await page.waitForURL(/\/cart$/)
  const before = (await page.textContent('#total')) ?? ''
  await page.fill('.cart input[type=number]', '4')
  await page.press('.cart input[type=number]', 'Tab')
  await page.locator('#total', { hasText: before }).waitFor({ state: 'detached' })
  await shot(page, 'cart')
  await page.goto(`${url}/?q=lamp`)
  await page.locator('.card').first().click()
  await page.click('#add')
  await page.waitForURL(/\/cart$/)
  assert.equal(await page.locator('.cart tbody tr').count(), 2, 'the second product is in the cart as well')
  await page.locator('.cart button.link').first().click()
  await page.locator('.cart tbody tr').nth(1).waitFor({ state: 'detached' })
  await page.fill('.checkout input[name=name]', 'Ada')
  await page.click('#order')
  await page.waitForURL(/\/orders\/o/)
  await page.waitForSelector('#order[data-status=placed]')
  await shot(page, 'order')
}

/** A page that is wider than a phone hides its buttons: nothing may scroll sideways but what says so. */
async function fits(page: Page, what: string): Promise<void> {
  const root = 'document.documentElement'
  const excess = await page.evaluate<number>(`${root}.scrollWidth - ${root}.clientWidth`)
  assert.ok(excess <= 0, `${what} is ${excess} px wider than a phone`)
  await shot(page, `phone-${what}`)
}

async function phone(page: Page, url: string): Promise<void> {
  await page.goto(url)
  await fits(page, 'browse')
  for (const word of ['lamp', 'sofa']) {
    await page.goto(`${url}/?q=${word}`)
    await page.locator('.card').first().click()
    await page.waitForSelector('#add')
    await fits(page, 'product')
    await page.click('#add')
    await page.waitForURL(/\/cart$/)
  }
  await fits(page, 'cart')
  await page.click('#order')
  await page.waitForSelector('#order[data-status=placed]')
  await fits(page, 'order')
  for (const path of ['orders', 'log-on', 'cluster', 'docs', 'problems']) {
    await page.goto(`${url}/${path}`)
    await fits(page, path)
  }
}

async function phoneOffice(page: Page, url: string, token: string): Promise<void> {
  await page.goto(`${url}/admin`)
  await page.fill('input[name=token]', token)
  await page.click('article button')
  await page.waitForURL(/\/admin$/)
  await fits(page, 'office')
  await page.goto(`${url}/admin/orders`)
  await fits(page, 'office-orders')
}

async function account(page: Page, url: string): Promise<void> {
  await page.goto(`${url}/register`)
  await page.fill('input[name=name]', 'Ada Lovelace')
  await page.fill('input[name=email]', `ada.${Date.now()}@example.org`)
  await page.fill('input[name=password]', 'correct horse')
  await page.click('article form button')
  await page.waitForSelector('.who')
  assert.equal(await page.textContent('.who'), 'Ada Lovelace')
  await shot(page, 'account')
  await page.click('header button.link')
  await page.waitForSelector('a[href="/log-on"]')
}

async function office(page: Page, url: string, token: string): Promise<void> {
  await page.goto(`${url}/admin`)
  await page.fill('input[name=token]', token)
  await page.click('article button')
  await page.waitForURL(/\/admin$/)
  await shot(page, 'office')
  await page.click('.import summary')
  await page.setInputFiles('input[type=file]', catalog)
  await page.click('.import form button')
  await page.waitForSelector('.facts')
  await page.goto(`${url}/admin/orders?status=placed`)
  await page.locator('details.order summary').first().click()
  await page.getByRole('button', { name: 'Ship' }).first().click()
  await page.waitForURL(/\/admin\/orders$/)
  await shot(page, 'orders')
  await page.goto(`${url}/cluster`)
  await page.waitForSelector('#events li')
  await shot(page, 'cluster')
}

const started = values.url === undefined ? await fakeCluster() : null
const url = values.url ?? started?.url ?? ''
const tokenFile = values['admin-token-file']
const token = tokenFile === undefined ? adminToken : readFileSync(tokenFile, 'utf8').trim()
const browser = await chromium.launch({
  executablePath: process.env['SOUK_CHROMIUM'] ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
})
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  const wrong: string[] = []
  page.on('pageerror', (error) => wrong.push(error.message))
  // The 4xx of an expected refusal is no error of the page; what the policy blocks is.
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()))
  await shopping(page, url)
  await account(page, url)
  await office(page, url, token)
  const pocket = await browser.newContext({
    viewport: { width: 360, height: 740 },
    isMobile: true,
    hasTouch: true,
  })
  const small = await pocket.newPage()
  small.setDefaultTimeout(10_000)
  await phone(small, url)
  await phoneOffice(small, url, token)
  assert.deepEqual(wrong, [], 'the pages run without errors')
  console.log('the walk went well')
} finally {
  await browser.close()
  await started?.stop()
}
