/** The OpenAPI 3.1 document, from the same schemas that check the requests. */
import type { Shop } from './shop.ts'

export function openApiDocument(shop: Shop): object {
  const registry = shop.app.openAPIRegistry
  const bearer = { type: 'http', scheme: 'bearer' } as const
  registry.registerComponent('securitySchemes', 'session', { ...bearer, description: 'A session token' })
  registry.registerComponent('securitySchemes', 'administrator', {
    ...bearer,
    description: 'The administrator token',
  })
  registry.registerComponent('securitySchemes', 'cookie', {
    type: 'apiKey',
    in: 'cookie',
    name: 'souk_session',
    description: 'Set with every new session; on changes only from pages of the same origin',
  })
  return shop.app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Souk',
      version: shop.version,
      description:
        'A shop that runs on many servers. Every answer carries `Souk-Node` and `Souk-Catalog-Version`; a request may carry `Souk-Catalog-Version: n` to be answered from that version or a later one. Requests that belong to the user’s home are answered 307 by other nodes. Errors are RFC 9457 problem documents.',
    },
    servers: [{ url: '/' }],
  })
}
