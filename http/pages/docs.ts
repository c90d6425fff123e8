/** `/docs`: the OpenAPI document as a readable page of our own, without a script from elsewhere. */
import { html } from 'hono/html'
import type { Shop } from '../shop.ts'
import type { Html } from './layout.ts'
import { page } from './layout.ts'

type Schema = { readonly $ref?: string; readonly type?: string | string[] } & {
  readonly [name: string]: unknown
}
type Content = { readonly [media: string]: { readonly schema?: Schema } }
type Operation = {
  readonly summary?: string
  readonly tags?: readonly string[]
  readonly security?: readonly { readonly [name: string]: unknown }[]
  readonly parameters?: readonly {
    readonly name: string
    readonly in: string
    readonly required?: boolean
    readonly schema?: Schema
    readonly description?: string
  }[]
  readonly requestBody?: { readonly content?: Content }
  readonly responses?: {
    readonly [status: string]: { readonly description?: string; readonly content?: Content }
  }
}
type Document = {
  readonly info?: { readonly description?: string; readonly version?: string }
  readonly paths?: { readonly [path: string]: { readonly [method: string]: Operation } }
  readonly components?: { readonly schemas?: { readonly [name: string]: Schema } }
}

/** The one mark of the document's texts: `code`. */
function codeHtml(text: string): (Html | string)[] {
  return text.split('`').map((part, index) => (index % 2 === 0 ? part : html`<code>${part}</code>`))
}

function schemaLink(schema: Schema | undefined): Html | string {
  const name = schema?.$ref?.split('/').at(-1)
  if (name !== undefined) return html`<a href="#schema-${name}">${name}</a>`
  return schema?.type === undefined ? '' : String(schema.type)
}

function contentHtml(content: Content | undefined): Html | string {
  if (content === undefined) return ''
  return html`${Object.entries(content).map(
    ([media, { schema }]) => html`<span><code>${media}</code> ${schemaLink(schema)}</span> `,
  )}`
}

function operationHtml(path: string, method: string, operation: Operation): Html {
  const security = (operation.security ?? []).flatMap((entry) => Object.keys(entry))
  return html`<details class="operation">
    <summary>
      <span class="method ${method}">${method.toUpperCase()}</span>
      <code>${path}</code> ${operation.summary ?? ''}
    </summary>
    ${security.length === 0 ? '' : html`<p>Needs: ${security.join(' or ')}</p>`}
    ${(operation.parameters ?? []).map(
      (parameter) =>
        html`<p>
          <code>${parameter.name}</code>
          <small>${parameter.in}${parameter.required === true ? ', required' : ''}</small>
          ${schemaLink(parameter.schema)} ${parameter.description ?? ''}
        </p>`,
    )}
    ${operation.requestBody === undefined ? '' : html`<p>Body: ${contentHtml(operation.requestBody.content)}</p>`}
    <table>
      ${Object.entries(operation.responses ?? {}).map(
        ([status, response]) =>
          html`<tr>
            <td>${status}</td>
            <td>${response.description ?? ''}</td>
            <td>${contentHtml(response.content)}</td>
          </tr>`,
      )}
    </table>
  </details>`
}

/** `document` is what /openapi.json answers. */
export async function docsPage(shop: Shop, document: Document): Promise<string> {
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  const groups = Map.groupBy(operations, ({ operation }) => operation.tags?.[0] ?? 'other')
  const body = html`<h1>HTTP interface</h1>
    <p>${codeHtml(document.info?.description ?? '')}</p>
    <p>
      <a href="/openapi.json">OpenAPI 3.1 document</a> · <a href="/problems">problems</a> · version
      ${document.info?.version ?? ''}
    </p>
    ${[...groups].map(
      ([tag, list]) =>
        html`<h2>${tag}</h2>
          ${list.map(({ path, method, operation }) => operationHtml(path, method, operation))}`,
    )}
    <h2>Schemas</h2>
    ${Object.entries(document.components?.schemas ?? {}).map(
      ([name, schema]) =>
        html`<details id="schema-${name}">
          <summary>${name}</summary>
          <pre><code>${JSON.stringify(schema, null, 2)}</code></pre>
        </details>`,
    )}`
  return await page(shop, { title: 'HTTP interface', body })
}
