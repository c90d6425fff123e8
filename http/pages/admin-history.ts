/** The back office's history of the catalog: of everything, and under the form of a product. */
import type { Context } from 'hono'
import { html } from 'hono/html'
import type { CatalogHistoryEntry } from '../../node/commands.ts'
import { isFault } from '../../node/faults.ts'
import { checkQuery } from '../input.ts'
import { historyPage } from '../routes/admin-history.ts'
import { historyQuery } from '../schemas.ts'
import type { Shop } from '../shop.ts'
import { queryText, timeText } from './format.ts'
import type { Html } from './layout.ts'
import { page, pageRoute } from './layout.ts'
import { filled, frame, guarded } from './office.ts'

/** Changes shown under the form of a product. */
const newestShown = 10

/** A field's change as people read it. */
export function fieldText({ field, before, after }: CatalogHistoryEntry['fields'][number]): Html {
  if (before === null && after === null) return html`<li>and more</li>`
  return html`<li><strong>${field}</strong>: ${before ?? '(none)'} → ${after ?? '(none)'}</li>`
}

function row({ version, at, by, node, handle, change, fields }: CatalogHistoryEntry, named: boolean): Html {
  return html`<tr>
    <td>${version}</td>
    <td>${timeText(at)}</td>
    <td>${by}${node === null ? '' : html`<br /><small>at ${node}</small>`}</td>
    ${named ? html`<td><a href="/admin/products/${encodeURIComponent(handle)}">${handle}</a></td>` : ''}
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

function historyTable(items: readonly CatalogHistoryEntry[], named: boolean): Html {
  return html`<div class="overflow-auto">
    <table class="history">
      <thead>
        <tr>
          <th>Version</th>
          <th>When</th>
          <th>Who</th>
          ${named ? html`<th>Product</th>` : ''}
          <th>What</th>
        </tr>
      </thead>
      <tbody>
        ${items.map((entry) => row(entry, named))}
      </tbody>
    </table>
  </div>`
}

/** Voters know the history; the form is good without it while none of them answers. */
export async function productHistory(shop: Shop, handle: string): Promise<Html> {
  try {
    const { items, next } = await historyPage(shop, { handle, limit: newestShown })
    const more = html`<p><a href="/admin/history${queryText({ handle })}">All changes of this product</a></p>`
    return html`<h2>History</h2>
      ${items.length === 0 ? html`<p>None is kept.</p>` : historyTable(items, false)}
      ${next === null ? '' : more}`
  } catch (error) {
    if (!isFault(error) || error.code !== 'no-primary') throw error
    return html`<h2>History</h2>
      <p>No voter can be reached that knows it.</p>`
  }
}

async function historyOfAll(shop: Shop, context: Context): Promise<string> {
  const query = checkQuery(filled(context), historyQuery)
  const { items, next } = await historyPage(shop, query)
  const { handle, limit } = query
  const more = queryText({ handle, limit: String(limit), cursor: next ?? undefined })
  const body = html`<h1>History ${handle === undefined ? '' : html`<small>of ${handle}</small>`}</h1>
    <form class="filters" method="get" action="/admin/history">
      <input type="search" name="handle" value="${handle ?? ''}" placeholder="Handle" aria-label="Handle" />
      <button class="secondary">Show</button>
    </form>
    ${items.length === 0 ? html`<p>None.</p>` : historyTable(items, true)}
    ${next === null ? '' : html`<a role="button" href="/admin/history${more}">More</a>`}`
  return await page(shop, { title: 'History', body: frame(body) })
}

export function adminHistoryPages(shop: Shop): void {
  pageRoute(
    shop,
    'get',
    '/admin/history',
    guarded(shop, async (context) => await historyOfAll(shop, context)),
  )
}
