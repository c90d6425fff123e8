/** `/problems/NAME`: what a problem means and what to do. */
import { html } from 'hono/html'
import type { FaultCode } from '../../node/faults.ts'
import type { ProblemKind } from '../problems.ts'
import { problemKinds } from '../problems.ts'
import type { Shop } from '../shop.ts'
import { page } from './layout.ts'

export async function problemPage(shop: Shop, name: FaultCode): Promise<string> {
  const kind: ProblemKind = problemKinds[name]
  const body = html`<article>
    <hgroup>
      <h1>${kind.title}</h1>
      <p><code>${name}</code> · HTTP status ${kind.status}</p>
    </hgroup>
    <h2>What it means</h2>
    <p>${kind.meaning}</p>
    <h2>What to do</h2>
    <p>${kind.remedy}</p>
    <p><a href="/problems">All problems</a> · <a href="/docs">API</a></p>
  </article>`
  return await page(shop, { title: kind.title, body })
}

export async function problemsPage(shop: Shop): Promise<string> {
  const rows = Object.entries(problemKinds).map(
    ([name, kind]) =>
      html`<tr>
        <td>${kind.status}</td>
        <td><a href="/problems/${name}">${name}</a></td>
        <td>${kind.meaning}</td>
      </tr>`,
  )
  const body = html`<h1>Problems</h1>
    <table class="striped">
      <thead>
        <tr>
          <th>Status</th>
          <th>Name</th>
          <th>Meaning</th>
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>`
  return await page(shop, { title: 'Problems', body })
}
