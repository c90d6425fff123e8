/** What a cart looks like to its shopper: lines with this node's catalog, total, hash (API.md, "cart"). No I/O of its own. */
import type { CartContents, CartDocument, CartLine } from '../../crdt/cart.ts'
import { cartTotal, shownCart } from '../core/carts.ts'
import type { Sku, UserId } from '../ids.ts'
import type { CartItemView, CartView, NodeAddress } from '../replica-api.ts'
import type { Context } from './context.ts'
import type { Homes } from './homes.ts'

/** What shops call the only variant of a product; it says nothing to a shopper. */
const singleVariantTitle = 'Default Title'

const noContents: CartContents = { lines: [], ordering: [] }

const noPrices: ReadonlyMap<Sku, number> = new Map()

/**
 * Unit prices of the newest order of this cart, if it was refused because the catalog's are others: what the shopper
 * agreed to, and must be shown to be another now. It is in the document, so that it outlives the home. An order that was
 * placed since ends it.
 */
function refusedPrices(document: CartDocument): ReadonlyMap<Sku, number> {
  const counting = document.intents().flatMap((intent) => {
    const outcome = document.outcomeOf(intent.id)
    if (outcome?.status === 'placed') return [{ intent, prices: noPrices }]
    const isRepriced =
      outcome?.status === 'refused' &&
      (outcome.reason === 'price-changed' || outcome.reason === 'not-for-sale')
    if (!isRepriced) return []
    return [{ intent, prices: new Map(intent.lines.map(({ sku, unitPrice }) => [sku, unitPrice])) }]
  })
  const newest = counting.toSorted((one, other) => other.intent.createdAtMs - one.intent.createdAtMs)[0]
  return newest?.prices ?? noPrices
}

function withRemark(item: CartItemView, agreed: number | undefined): CartItemView {
  return agreed === undefined || agreed === item.unitPrice ? item : { ...item, previousPrice: agreed }
}

/** No more complete than the cart was when it was changed. */
export function completeAt(edit: boolean, view: CartView): CartView {
  return { ...view, complete: view.complete && edit }
}

export class CartViews {
  readonly #context: Context
  readonly #homes: Homes

  constructor(context: Context, homes: Homes) {
    this.#context = context
    this.#homes = homes
  }

  build(
    user: UserId,
    document: CartDocument | null,
    state: { complete: boolean; merged: { sku: Sku; quantity: number }[] },
  ): CartView {
    const { shop } = this.#context.stores
    const contents = document?.contents() ?? noContents
    const agreed = document === null ? noPrices : refusedPrices(document)
    const items = contents.lines.map((line) => withRemark(this.#item(line), agreed.get(line.sku)))
    const currency = shop.read.currency() ?? this.#context.settings.currency
    return {
      user,
      items,
      total: cartTotal(items),
      currency,
      hash: shownCart(items, currency),
      complete: state.complete,
      ordering: contents.ordering.map(({ order, lines }) => ({
        order,
        items: lines.map((line) => ({ ...line })),
      })),
      merged: state.merged,
      home: this.#home(user),
      catalogVersion: shop.read.catalog().version,
    }
  }

  #item({ sku, quantity }: CartLine): CartItemView {
    const info = this.#context.stores.shop.read.sku(sku)
    if (info === null) {
      return {
        sku,
        handle: '' as CartItemView['handle'],
        title: sku,
        image: null,
        quantity,
        unitPrice: 0,
        lineTotal: 0,
        forSale: false,
      }
    }
    const hasVariants = info.variantTitle !== '' && info.variantTitle !== singleVariantTitle
    return {
      sku,
      handle: info.handle,
      title: hasVariants ? `${info.title} – ${info.variantTitle}` : info.title,
      image: info.image,
      quantity,
      unitPrice: info.price,
      lineTotal: info.price * quantity,
      forSale: info.status === 'active',
    }
  }

  #home(user: UserId): NodeAddress {
    const { members, selfId, settings } = this.#context
    const own = { node: settings.node, url: settings.publicUrl }
    return members.address(this.#homes.record(user)?.home ?? selfId) ?? own
  }
}
