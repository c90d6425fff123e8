/** Reads that no benchmark waits for without an end. */

const answerWithinMs = 10_000

export async function get(url: string, headers: { readonly [name: string]: string } = {}): Promise<Response> {
  return await fetch(url, { headers, signal: AbortSignal.timeout(answerWithinMs) })
}

export async function getJson<T>(url: string): Promise<T> {
  return (await (await get(url)).json()) as T
}
