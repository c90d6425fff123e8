/** All pages: storefront, back office, operations console. */
import type { ImportJobs } from '../import-jobs.ts'
import type { Shop } from '../shop.ts'
import { accountPages } from './account.ts'
import { adminBulkPages } from './admin-bulk.ts'
import { adminHistoryPages } from './admin-history.ts'
import { adminImportPages } from './admin-import.ts'
import { adminOrderPages } from './admin-orders.ts'
import { adminProductPages } from './admin-product.ts'
import { adminPages } from './admin.ts'
import { assetRoutes } from './assets.ts'
import { browsePages } from './browse.ts'
import { cartPages } from './cart.ts'
import { clusterPages } from './cluster.ts'
import { orderPages } from './orders.ts'
import { ownAccountPages } from './own-account.ts'

export function pages(shop: Shop, imports: ImportJobs): void {
  browsePages(shop)
  cartPages(shop)
  orderPages(shop)
  accountPages(shop)
  ownAccountPages(shop)
  adminPages(shop)
  adminImportPages(shop, imports)
  adminOrderPages(shop)
  adminProductPages(shop)
  adminBulkPages(shop)
  adminHistoryPages(shop)
  clusterPages(shop)
  assetRoutes(shop)
}
