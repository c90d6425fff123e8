/** What launch-cluster.sh runs once everything is installed: one verb, then the state of the cluster. */
import { filesOf, readRecord, resolveDirectory } from './directory.ts'
import { Failure, messageOf, progress, UsageError } from './failure.ts'
import { parseOptions, usage, type Options } from './options.ts'
import { clusterStatus, statusJson, statusTable } from './status.ts'
import { up } from './up.ts'
import { add, down, openCluster, runNodeVerb } from './verbs.ts'

const exitFailed = 1
const exitUsage = 2

async function runVerb(options: Options): Promise<void> {
  const { verb } = options
  if ('node' in verb) return runNodeVerb(options, verb.kind, verb.node)
  switch (verb.kind) {
    case 'help':
      return
    case 'up':
      return up(options, verb.count)
    case 'status':
      openCluster(options)
      return
    case 'add':
      return add(options)
    case 'down':
      // Nothing there is as down as it gets: a clean-up script may run twice.
      return readRecord(resolveDirectory(options.data)) === null ? undefined : down(options)
    default: {
      const never: never = verb
      return never
    }
  }
}

/** Standard output: JSON after every verb if asked for, else a table where a person expects one. */
async function report(options: Options): Promise<void> {
  const { verb } = options
  const tabular = verb.kind === 'up' || verb.kind === 'status' || verb.kind === 'add'
  if (!options.json && !tabular) return
  const directory = resolveDirectory(options.data)
  const record = readRecord(directory)
  if (record === null) {
    if (!options.json) return
    console.log(JSON.stringify({ nodes: [], primary: null, adminTokenFile: filesOf(directory).adminToken }))
    return
  }
  const status = await clusterStatus(directory, record)
  console.log(options.json ? statusJson(directory, status) : statusTable(directory, status))
}

async function main(): Promise<number> {
  let options: Options
  try {
    options = parseOptions(process.argv.slice(2))
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    // The whole help would push the one line that matters off the screen.
    console.error(`launch-cluster: ${error.message}\nlaunch-cluster.sh --help lists all verbs and options`)
    return exitUsage
  }
  if (options.verb.kind === 'help') {
    console.log(usage)
    return 0
  }
  let exitCode = 0
  try {
    await runVerb(options)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    progress(messageOf(error))
    exitCode = exitFailed
  }
  await report(options)
  return exitCode
}

try {
  process.exitCode = await main()
} catch (error) {
  // Not an operator's mistake, or one that nobody foresaw (a full disk, missing permissions): say where.
  progress(messageOf(error))
  if (!(error instanceof Failure)) console.error(error)
  process.exitCode = exitFailed
}
