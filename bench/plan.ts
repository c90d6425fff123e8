/** All benchmarks in the order of a whole run: cheap ones first, the longest last. */

export type Benchmark = {
  readonly name: string
  /** In this directory. */
  readonly file: string
  readonly args: readonly string[]
  /** What shows in seconds that it works; such figures say nothing. */
  readonly quick: readonly string[]
  /** Several times what it takes on an idle machine with two cores; then it is given up. */
  readonly timeoutMinutes: number
}

type Entry = Partial<Pick<Benchmark, 'file' | 'args' | 'timeoutMinutes'>> & Pick<Benchmark, 'quick'>

const minutesDefault = 15

const entries: { readonly [name: string]: Entry } = {
  streams: { quick: ['--seconds', '1', '--in-flight', '1,32'] },
  log: { quick: ['--runs', '1', '--seconds', '1', '--in-flight', '1,32'] },
  broadcast: { quick: ['--nodes', '3', '--changes', '20'] },
  catalog: { quick: ['--products', '2465', '--seconds', '1', '--rounds', '1'], timeoutMinutes: 30 },
  carts: { quick: ['--runs', '1', '--additions', '500', '--shoppers', '100'] },
  orders: { quick: ['--runs', '1', '--orders', '200'] },
  'cart-memory': {
    quick: ['--carts', '1000', '--starts', '1', '--rounds', '4', '--requests', '200'],
    timeoutMinutes: 30,
  },
  failover: { quick: ['--rounds', '3'] },
  'failover-silent': { file: 'failover.ts', args: ['--signal', 'SIGSTOP'], quick: ['--rounds', '2'] },
  takeover: { quick: ['--rounds', '3'] },
  'takeover-silent': { file: 'takeover.ts', args: ['--signal', 'SIGSTOP'], quick: ['--rounds', '2'] },
  import: { quick: ['--products', '1000'], timeoutMinutes: 20 },
  snapshot: { quick: ['--products', '1000', '--rounds', '1'], timeoutMinutes: 20 },
  overload: {
    quick: ['--seconds', '1', '--runs', '1', '--shoppers', '100', '--connections', '32,128'],
    timeoutMinutes: 20,
  },
  scaling: {
    quick: ['--nodes', '1,3', '--seconds', '3', '--runs', '1', '--changes', '10'],
    timeoutMinutes: 45,
  },
  load: { quick: ['--nodes', '3', '--minutes', '0.1'], timeoutMinutes: 20 },
  soak: { quick: ['--minutes', '0.5', '--every', '5'], timeoutMinutes: 60 },
}

export const plan: readonly Benchmark[] = Object.entries(entries).map(([name, entry]) => ({
  name,
  file: `${name}.ts`,
  args: [],
  timeoutMinutes: minutesDefault,
  ...entry,
}))
