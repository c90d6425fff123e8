/** Figures from a node's `/metrics`. */
import { get } from './get.ts'

/** The value of a metric without labels. Throws when the node has none of that name. */
export async function valueOf(base: string, name: string): Promise<number> {
  const text = await (await get(`${base}/metrics`)).text()
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  if (line === undefined) throw new Error(`${base} has no metric ${name}`)
  return Number(line.slice(name.length + 1))
}
