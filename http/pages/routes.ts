/** All pages. */
import type { ImportGate } from '../routes/admin-import.ts'
import type { Shop } from '../shop.ts'

export function pages(_shop: Shop, _imports: ImportGate): void {}
