/** What a cart looks like to its shopper: lines with this node's catalog, total, hash (API.md, "cart"). No I/O of its own. */
import type { CartContents, CartDocument, CartLine } from '../../crdt/cart.ts'
import { cartHash } from '../core/carts.ts'
import type { HashedLine } from '../core/carts.ts'
import type { Sku, UserId } from '../ids.ts'
import type { CartItemView, CartView, NodeAddress } from '../replica-api.ts'
import type { Context } from './context.ts'
import type { Homes } from './homes.ts'
import { ShownCarts } from './shown-carts.ts'

/** What shops call the only variant of a product; it says nothing to a shopper. */
const singleVariantTitle = 'Default Title'

const noContents: CartContents = { lines: [], ordering: [] }

export class CartViews {
  readonly #context: Context
  readonly #homes: Homes
  readonly #shown = new ShownCarts()

  constructor(context: Context, homes: Homes) {
    this.#context = context
    this.#homes = homes
  }

  /** The lines of a cart that was shown here with this hash, if they are remembered. */
  shown(hash: string): readonly HashedLine[] | null {
    return this.#shown.find(hash)
  }

  build(
    user: UserId,
    document: CartDocument | null,
    state: { complete: boolean; merged: { sku: Sku; quantity: number }[] },
  ): CartView {
    const { shop } = this.#context.stores
    const contents = document?.contents() ?? noContents
    const items = contents.lines.map((line) => this.#item(line))
    const currency = shop.read.currency() ?? this.#context.settings.currency
    const hash = cartHash(items, currency)
    this.#shown.remember(hash, items)
    return {
      user,
      items,
      total: items.reduce((total, item) => total + item.lineTotal, 0),
      currency,
      hash,
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
