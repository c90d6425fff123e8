/** The back office's imports: the form, and the page of one that shows how far it is and what came of it. Also exports. */
import { randomUUID } from 'node:crypto'
import type { Context } from 'hono'
import { html, raw } from 'hono/html'
import { z } from 'zod'
import { Fault } from '../../node/faults.ts'
import type { ImportJob, ImportJobs } from '../import-jobs.ts'
import { spooled } from '../import-jobs.ts'
import type { ChangeCounts, ProductDifference } from '../catalog-batches.ts'
import type { ImportAnswer } from '../import.ts'
import { check, checkQuery, contentType, readBytes } from '../input.ts'
import { importFormSizeBytesMax } from '../limits.ts'
import { exportAnswer } from '../routes/admin-import.ts'
import { exportQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { fieldText } from './admin-history.ts'
import { productHref } from './admin-product.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { frame, guarded, officeName } from './office.ts'
import { seeOther } from './visitors.ts'

/** Lines and products that the page lists; the API tells all that are kept. */
const shownMax = 500

export function importForm(): Html {
  return html`<details class="import">
    <summary role="button" class="secondary">Import</summary>
    <form method="post" action="/admin/import" enctype="multipart/form-data">
      <input type="hidden" name="key" value="${randomUUID()}" />
      <label>Shopify CSV or JSON Lines <input type="file" name="file" accept=".csv,.jsonl" required /></label>
      <label><input type="checkbox" name="dryRun" value="true" /> Only try, change nothing</label>
      <button>Import</button>
    </form>
  </details>`
}

const importFields = z.object({
  file: z.instanceof(File),
  dryRun: z.literal('true').optional(),
  key: z.string().regex(/^[\x21-\x7e]{1,200}$/),
})

/** Multipart framing around the file. */
const multipartSizeBytes = 8_192

async function formFields(context: Context): Promise<z.output<typeof importFields>> {
  if (contentType(context) !== 'multipart/form-data')
    throw new Fault('unsupported-type', 'this form is multipart/form-data', {
      accepts: ['multipart/form-data'],
    })
  const bytes = await readBytes(context, importFormSizeBytesMax + multipartSizeBytes)
  const headers = { 'content-type': context.req.header('content-type') ?? '' }
  try {
    const form = await new Response(new Uint8Array(bytes), { headers }).formData()
    return check(importFields, Object.fromEntries(form), 'form')
  } catch (error) {
    if (error instanceof Fault) throw error
    throw new Fault('invalid-request', 'the form can’t be read', {}, { cause: error })
  }
}

async function startImport(shop: Shop, imports: ImportJobs, context: Context): Promise<Response> {
  const { id } = await imports.start(shop, async () => {
    const { file, dryRun, key } = await formFields(context)
    const type = file.name.endsWith('.jsonl') ? 'application/jsonl' : 'text/csv'
    const source = await spooled(type, [new Uint8Array(await file.arrayBuffer())])
    return { source, options: { dryRun: dryRun === 'true', key, by: officeName(context) } }
  })
  return seeOther(shop, `/admin/imports/${id}`)
}

export function facts(values: { [name: string]: string | number }): Html {
  return html`<dl class="facts">
    ${Object.entries(values).map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`
}

function rejectedTable({ rejected }: ImportAnswer): Html {
  if (rejected.length === 0) return html``
  return html`<h2>Rejected</h2>
    <table>
      <thead>
        <tr>
          <th>Line</th>
          <th>Reason</th>
        </tr>
      </thead>
      <tbody>
        ${rejected.slice(0, shownMax).map(
          ({ line, reason }) =>
            html`<tr>
              <td>${line}</td>
              <td>${reason}</td>
            </tr>`,
        )}
      </tbody>
    </table>`
}

function differenceRow({ handle, line, change, fields }: ProductDifference): Html {
  return html`<tr>
    <td>${line}</td>
    <td>${change === 'created' ? handle : html`<a href="${productHref(handle)}">${handle}</a>`}</td>
    <td>
      ${change}${
        fields.length === 0
          ? ''
          : html`<ul class="field-changes">
              ${fields.map(fieldText)}
            </ul>`
      }
    </td>
  </tr>`
}

export function differenceTable({ diff }: ChangeCounts): Html {
  if (diff === undefined || diff.length === 0) return html``
  return html`<h2>What would change</h2>
    <table class="differences">
      <thead>
        <tr>
          <th>Line</th>
          <th>Product</th>
          <th>What</th>
        </tr>
      </thead>
      <tbody>
        ${diff.slice(0, shownMax).map(differenceRow)}
      </tbody>
    </table>
    ${diff.length > shownMax ? html`<p>The first ${shownMax}; the API tells more.</p>` : ''}`
}

function headline(job: ImportJob): string {
  switch (job.state) {
    case 'reading':
      return 'Reading the file'
    case 'changing':
      return job.dryRun ? 'Trying' : 'Importing'
    case 'done':
      return job.dryRun ? 'This import would do' : 'Imported'
    case 'failed':
      return 'The import failed'
    default: {
      const never: never = job.state
      throw new Error(`unknown state ${JSON.stringify(never)}`)
    }
  }
}

/** A page that is still to change asks for itself again; without scripts it is reloaded by hand. */
function jobHtml(job: ImportJob): Html {
  const { id, read, products, done, created, updated, unchanged, rejectedLines, answer, problem, endedAt } =
    job
  const href = `/admin/imports/${id}`
  const again = `hx-get="${href}" hx-trigger="load delay:1s" hx-select="#import" hx-target="#import" hx-swap="outerHTML"`
  const counts = { created, updated, unchanged, 'rejected lines': rejectedLines }
  return html`<section id="import" data-state="${job.state}" ${endedAt === null ? raw(again) : ''}>
    <h1>${headline(job)}</h1>
    ${
      endedAt === null
        ? html`<progress ${products === 0 ? '' : raw(`value="${done}" max="${products}"`)}></progress>
            <p>${products === 0 ? `${read} products read` : `${done} of ${products} products`}</p>
            <noscript
              ><p><a href="${href}">Look again</a></p></noscript
            >`
        : ''
    }
    ${problem === null ? '' : html`<p class="notice" role="alert">${String((problem as { detail?: unknown }).detail)}</p>`}
    ${facts(answer === null ? counts : { ...counts, 'catalog version': answer.catalogVersion })}
    ${answer === null ? '' : html`${rejectedTable(answer)} ${differenceTable(answer)}`}
    <p><a href="/admin">Back to the products</a></p>
  </section>`
}

export function adminImportPages(shop: Shop, imports: ImportJobs): void {
  pageRoute(
    shop,
    'post',
    '/admin/import',
    guarded(shop, async (context) => await startImport(shop, imports, context)),
  )
  pageRoute(
    shop,
    'get',
    '/admin/imports/:id',
    guarded(shop, async (context) => {
      const job = imports.get(context.req.param('id') ?? '')
      return await page(shop, { title: headline(job), body: frame(jobHtml(job)) })
    }),
  )
  pageRoute(
    shop,
    'get',
    '/admin/export',
    guarded(shop, async (context) => {
      const { format } = checkQuery(context.req.query(), exportQuery)
      return await Promise.resolve(exportAnswer(shop, context, format))
    }),
  )
}
