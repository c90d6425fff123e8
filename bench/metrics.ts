/** Figures from a node's `/metrics`. */

/** The value of a metric without labels. Throws when the node has none of that name. */
export async function valueOf(base: string, name: string): Promise<number> {
  const response = await fetch(`${base}/metrics`)
  const text = await response.text()
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  if (line === undefined) throw new Error(`${base} has no metric ${name}`)
  return Number(line.slice(name.length + 1))
}
