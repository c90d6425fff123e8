/** What all pages of the back office share: who may come in, under which name, and the tabs. */
import type { Context } from 'hono'
import { getCookie } from 'hono/cookie'
import { html } from 'hono/html'
import { adminCookie, adminName, adminNameCookie } from '../auth.ts'
import type { Shop } from '../shop.ts'
import type { Html } from './layout.ts'
import { seeOther } from './visitors.ts'

export type OfficeHandler = (context: Context) => Promise<Response | string>

function isAdministrator(shop: Shop, context: Context): boolean {
  const token = getCookie(context, adminCookie)
  return token !== undefined && shop.gate.isAdminToken(token)
}

/** Only for who has entered the token; forms only from our own pages. */
export function guarded(shop: Shop, handler: OfficeHandler): OfficeHandler {
  return async (context) => {
    shop.gate.requireSameOrigin(context)
    if (!isAdministrator(shop, context)) return seeOther(shop, '/admin/log-on')
    return await handler(context)
  }
}

/** The name that was entered with the token. A cookie that is no name (any more) is as good as none. */
export function officeName(context: Context): string {
  return adminName(getCookie(context, adminNameCookie)) ?? 'admin'
}

export function frame(body: Html): Html {
  return html`<nav class="tabs">
      <a href="/admin">Products</a> <a href="/admin/history">History</a> <a href="/admin/orders">Orders</a>
      <a href="/cluster">Cluster</a>
      <form method="post" action="/admin/log-off"><button class="link">Leave</button></form>
    </nav>
    ${body}`
}

/** What was filled in: an empty field of a form asks for nothing. */
export function filled(context: Context): { [name: string]: string } {
  return Object.fromEntries(Object.entries(context.req.query()).filter(([, value]) => value !== ''))
}
