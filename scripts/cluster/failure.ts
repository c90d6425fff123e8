/** What an operator is told when a verb can't be done. */

/** The verb failed: exit code 1, the message is for the operator. */
export class Failure extends Error {
  override readonly name = 'Failure'
}

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Progress goes to standard error, because standard output may be read by a program (`--json`). */
export function progress(message: string): void {
  process.stderr.write(`launch-cluster: ${message}\n`)
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The `code` of a system error such as ENOENT, else undefined. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
