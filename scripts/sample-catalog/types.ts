/** The vocabulary of the sample catalog: a bazaar of twelve lanes, each with kinds of goods and makers' styles. */

/** A way in which goods of a category come: a size, a colour or a weight, with its price factor. */
export type Choice = { readonly name: string; readonly code: string; readonly factor: number }

/** What it is. `says` completes a description; the price is in cents of the shop's currency. */
export type Kind = {
  readonly name: string
  readonly code: string
  readonly priceCents: number
  readonly says: string
  readonly tags: readonly string[]
}

/** How it is made: put before the kind's name. */
export type Style = {
  readonly name: string
  readonly code: string
  readonly factor: number
  readonly says: string
  readonly tags: readonly string[]
}

export type Category = {
  readonly name: string
  readonly code: string
  readonly vendors: readonly string[]
  readonly option: string
  readonly choices: readonly Choice[]
  readonly kinds: readonly Kind[]
  readonly styles: readonly Style[]
  /** Practical facts, of which a product gets two. */
  readonly facts: readonly string[]
}

export function choice(name: string, code: string, factor = 1): Choice {
  return { name, code, factor }
}

export function kind(name: string, code: string, priceCents: number, says: string, ...tags: string[]): Kind {
  return { name, code, priceCents, says, tags }
}

export function style(name: string, code: string, factor: number, says: string, ...tags: string[]): Style {
  return { name, code, factor, says, tags }
}
