/** Decimal prices and minor units, exactly: no floating point touches money. */

/** Digits after the point that a currency has: USD 2, JPY 0, BHD 3. */
export function currencyDigits(currency: string): number {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency })
  return format.resolvedOptions().maximumFractionDigits ?? 2
}

/** Minor units, or a sentence saying what is wrong with the text. */
export function parsePrice(text: string, digits: number): number | string {
  const match = /^(\d{1,12})(?:\.(\d{0,12}))?$/.exec(text.trim())
  if (match === null) return `"${text.slice(0, 40)}" is not a price`
  const [, whole = '', fraction = ''] = match
  // More digits than the currency has are fine as long as they say nothing (1500.00 yen).
  if (/[^0]/.test(fraction.slice(digits))) return `a price has at most ${digits} digits after the point`
  return Number(whole + fraction.slice(0, digits).padEnd(digits, '0'))
}

export function formatPrice(amount: number, digits: number): string {
  if (digits === 0) return String(amount)
  const text = String(amount).padStart(digits + 1, '0')
  return `${text.slice(0, -digits)}.${text.slice(-digits)}`
}
