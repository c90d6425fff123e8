/** `/metrics`: the replica's counters and gauges and the HTTP side's own, as Prometheus text. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { Replica } from '../node/replica-api.ts'

export type RouteCounter = { begin(): void }

type NowOpen = { readonly openStreams: number; readonly requestsInFlight: number }
type Sample = { name: string; help: string; value: number; labels?: Record<string, string> }

export class RequestMetrics {
  readonly #replica: Replica
  readonly #version: string
  /** Process metrics start observers, so they begin with the first scrape. */
  #process: Registry | null = null
  readonly #requests: { method: string; route: string; count: number }[] = []
  readonly #problems = new Map<string, number>()

  constructor(replica: Replica, version: string) {
    this.#replica = replica
    this.#version = version
  }

  /** The counter of one route; counting is one addition, because it is on the hot path. */
  route(method: string, route: string): RouteCounter {
    const known = this.#requests.find((one) => one.method === method && one.route === route)
    const entry = known ?? { method, route, count: 0 }
    if (known === undefined) this.#requests.push(entry)
    return {
      begin: () => {
        entry.count += 1
      },
    }
  }

  /** `name` is one of the closed set of problem names. */
  problem(name: string): void {
    this.#problems.set(name, (this.#problems.get(name) ?? 0) + 1)
  }

  async text({ openStreams, requestsInFlight }: NowOpen): Promise<{ text: string; contentType: string }> {
    if (this.#process === null) {
      this.#process = new Registry()
      collectDefaultMetrics({ register: this.#process })
    }
    const registry = new Registry()
    addCounters(registry, this.#replica.metrics.counters())
    addGauges(registry, this.#replica.metrics.gauges())
    addCounters(registry, this.#own())
    addGauges(registry, [
      { name: 'souk_http_event_streams', help: 'Open event streams.', value: openStreams },
      { name: 'souk_http_requests_in_flight', help: 'Requests without an answer.', value: requestsInFlight },
      {
        name: 'souk_build_info',
        help: 'The running version.',
        value: 1,
        labels: { version: this.#version, node: this.#replica.self.node },
      },
    ])
    const text = await Registry.merge([this.#process, registry]).metrics()
    return { text, contentType: Registry.PROMETHEUS_CONTENT_TYPE }
  }

  #own(): Sample[] {
    const requests = this.#requests.map(({ method, route, count }) => ({
      name: 'souk_http_requests_total',
      help: 'Requests begun, by route.',
      value: count,
      labels: { method, route },
    }))
    const problems = [...this.#problems].map(([problem, value]) => ({
      name: 'souk_http_problems_total',
      help: 'Requests answered with a problem document, by name.',
      value,
      labels: { problem },
    }))
    return [...requests, ...problems]
  }
}

function byName(samples: readonly Sample[]): Map<string, Sample[]> {
  return Map.groupBy(samples, (sample) => sample.name)
}

function labelNames(samples: readonly Sample[]): string[] {
  return [...new Set(samples.flatMap((sample) => Object.keys(sample.labels ?? {})))]
}

function addCounters(registry: Registry, samples: readonly Sample[]): void {
  for (const [name, group] of byName(samples)) {
    const help = group[0]?.help ?? name
    const counter = new Counter({ name, help, labelNames: labelNames(group), registers: [registry] })
    for (const { labels, value } of group) counter.inc(labels ?? {}, value)
  }
}

function addGauges(registry: Registry, samples: readonly Sample[]): void {
  for (const [name, group] of byName(samples)) {
    const help = group[0]?.help ?? name
    const gauge = new Gauge({ name, help, labelNames: labelNames(group), registers: [registry] })
    for (const { labels, value } of group) gauge.set(labels ?? {}, value)
  }
}
