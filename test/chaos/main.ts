/**
 * `npm run chaos -- --nodes 5 --minutes 10 --seed S`: a cluster of real processes under faults, and what that did to its
 * promises. Exit code 1 when one was broken, or when less went wrong than is asked of a run of that length; then history,
 * logs and summary stay.
 */
import { readFileSync, rmSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { checkHistory } from './checkers/all.ts'
import { abilityNames } from './harness/abilities.ts'
import { parseHistory } from './history.ts'
import { runChaos } from './run.ts'
import { markdownOf, summarize } from './summary.ts'

const usage = `npm run chaos -- [--nodes N] [--minutes M] [--seed S] [--shoppers N]
  --nodes N       nodes of the cluster (default 5, at least 3)
  --minutes M     how long things go wrong (default 10; 0.5 is half a minute)
  --seed S        what goes wrong and when; drawn, and told, when it is not given
  --shoppers N    who are busy meanwhile (default 18)
  --patience F    time limits are multiplied by F, for a machine that has other work (default 1)
  --only KINDS    only these kinds of faults, separated by commas
  --without WHAT  not what needs: ${abilityNames.join(', ')}; separated by commas
  --keep          keep history, logs and summary of a clean run, too
  --check FILE    check a history again that an earlier run left`

/** Issue "chaos": asked of ten minutes, and of others in proportion. */
const faultsInTenMinutes = 200
const operationsInTenMinutes = 20_000

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '5' },
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    shoppers: { type: 'string', default: '18' },
    patience: { type: 'string', default: '1' },
    only: { type: 'string' },
    without: { type: 'string', default: '' },
    keep: { type: 'boolean', default: false },
    check: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

function numberOf(name: string, raw: string, min: number): number {
  const value = Number(raw)
  if (!Number.isFinite(value) || value < min) throw new Error(`--${name} must be a number of at least ${min}`)
  return value
}

function recheck(file: string): number {
  const history = parseHistory(readFileSync(file, 'utf8'))
  const violations = checkHistory(history)
  console.log(markdownOf(summarize(history, null, violations)))
  return violations.length === 0 ? 0 : 1
}

async function run(): Promise<number> {
  const seed = values.seed === undefined ? Date.now() % 1_000_000 : numberOf('seed', values.seed, 0)
  const [nodes, minutes] = [numberOf('nodes', values.nodes, 3), numberOf('minutes', values.minutes, 0.1)]
  const patience = numberOf('patience', values.patience, 1)
  const without = values.without.split(',').filter((name) => name !== '')
  const more = process.argv.slice(2).filter((word, index, all) => {
    const isNamed = /^--(seed|nodes|minutes)$/
    return !isNamed.test(word) && !isNamed.test(all[index - 1] ?? '')
  })
  const command = ['npm run chaos --', `--nodes ${nodes} --minutes ${minutes} --seed ${seed}`, ...more].join(
    ' ',
  )
  const { directory, summary, violations } = await runChaos({
    seed,
    nodes,
    minutes,
    patience,
    shoppers: numberOf('shoppers', values.shoppers, 1),
    only: values.only === undefined ? null : values.only.split(','),
    abilities: (name) => !without.includes(name),
    command,
    say: (text) => console.error(`chaos: ${text}`),
  })
  console.log(markdownOf(summary))
  const share = minutes / 10
  const tooFew = [
    ...(summary.faults < faultsInTenMinutes * share && values.only === undefined ? ['faults'] : []),
    ...(summary.operations < operationsInTenMinutes * share ? ['operations'] : []),
  ]
  if (tooFew.length > 0) console.error(`chaos: too few ${tooFew.join(' and ')}: the machine was too busy`)
  if (violations.length === 0 && tooFew.length === 0 && !values.keep) {
    rmSync(directory, { recursive: true, force: true })
    return 0
  }
  console.error(`chaos: history, logs and summary are in ${directory}\nchaos: again: ${command}`)
  return violations.length === 0 && tooFew.length === 0 ? 0 : 1
}

if (values.help) console.log(usage)
else process.exitCode = values.check === undefined ? await run() : recheck(values.check)
