/** The suite itself: a driver that lies in one respect fails the rule it lies about. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Capabilities, Consumer, Delivery, Driver, Outcome, Outgoing } from '../../src/client/driver.ts'
import { conformance, numberText } from '../../src/conformance/index.ts'
import type { ConnectOptions, EngineUnderTest } from '../../src/conformance/index.ts'
import { memoryEngine } from './memory-engine.ts'

interface Mutant {
  readonly lie: string
  readonly rules: readonly number[]
  readonly mutate: (driver: Driver) => Driver
  /** A lie of the harness: how it connects. */
  readonly options?: (options: ConnectOptions) => ConnectOptions
}

/** The driver with some of its methods replaced. */
function replaced(driver: Driver, replacements: Partial<Driver>): Driver {
  return new Proxy(driver, {
    get(target, name) {
      const value: unknown = Reflect.get(name in replacements ? replacements : target, name)
      return typeof value === 'function' ? value.bind(name in replacements ? replacements : target) : value
    },
  })
}

function publishing(change: (outgoing: Outgoing) => Outgoing): Mutant['mutate'] {
  return (driver) =>
    replaced(driver, { publish: (batch, options) => driver.publish(batch.map(change), options) })
}

function settling(change: (outcome: Outcome) => Outcome): Mutant['mutate'] {
  return delivering((delivery) => ({ settle: (outcome, out) => delivery.settle(change(outcome), out) }))
}

function delivering(change: (delivery: Delivery) => Partial<Delivery>): Mutant['mutate'] {
  return (driver) =>
    replaced(driver, {
      consume: (queue, options, sink) =>
        driver.consume(queue, options, (delivery) => {
          const changed = change(delivery)
          sink(
            new Proxy(delivery, {
              get(target, name) {
                const value: unknown = Reflect.get(name in changed ? changed : target, name)
                return typeof value === 'function' ? value.bind(target) : value
              },
            }),
          )
        }),
    })
}

function claiming(change: (capabilities: Capabilities) => Partial<Capabilities>): Mutant['mutate'] {
  return (driver) =>
    replaced(driver, {
      open: async (signal) => {
        const capabilities = await driver.open(signal)
        return { ...capabilities, ...change(capabilities) }
      },
    })
}

/** The message without its delay, its key, …. */
function without(name: 'delayMs' | 'ttlMs' | 'key' | 'dedupe'): (outgoing: Outgoing) => Outgoing {
  return (outgoing) => {
    const rest = { ...outgoing }
    delete rest[name]
    return rest
  }
}

const none = { level: 'none' } as const

const mutants: readonly Mutant[] = [
  {
    lie: 'headers are lost',
    rules: [1, 39, 81],
    mutate: publishing((outgoing) => {
      const { headers: _headers, ...properties } = outgoing.properties
      return { ...outgoing, properties }
    }),
  },
  {
    lie: 'bodies are made text',
    rules: [1, 3],
    mutate: publishing((outgoing) => ({ ...outgoing, body: Buffer.from(outgoing.body).toString('utf8') })),
  },
  {
    lie: 'everything is stored, it says',
    rules: [6, 7, 8, 9, 13, 65, 68],
    mutate: (driver) =>
      replaced(driver, {
        publish: async (batch, options) => {
          await driver.publish(batch, options)
          return batch.map(() => ({ type: 'stored' }))
        },
      }),
  },
  {
    lie: 'a signal is no matter',
    rules: [10],
    mutate: (driver) => replaced(driver, { publish: (batch) => driver.publish(batch) }),
  },
  {
    lie: 'unbind does nothing',
    rules: [23, 25],
    mutate: (driver) => replaced(driver, { undeclare: async () => undefined }),
  },
  {
    lie: 'a conflict is no error',
    rules: [27],
    mutate: (driver) =>
      replaced(driver, { declare: (topology) => driver.declare(topology).catch(() => undefined) }),
  },
  {
    lie: 'priority, browse and deduplication are unsupported, it says, and works',
    rules: [28, 43, 65, 78],
    mutate: claiming(() => ({
      priority: { ...none, maximum: 0 },
      browse: none,
      deduplication: { ...none, maximumWindowMs: 0 },
    })),
  },
  {
    lie: 'durable, it says, and has nothing to show',
    rules: [5],
    mutate: claiming(() => ({ durable: true })),
  },
  {
    lie: 'ack puts it back',
    rules: [29, 41],
    mutate: settling((o) => (o.type === 'ack' ? { type: 'release' } : o)),
  },
  {
    lie: 'credit is tenfold',
    rules: [30, 31],
    mutate: (driver) =>
      replaced(driver, {
        consume: (queue, options, sink) =>
          driver.consume(queue, { ...options, prefetch: Math.min(65_535, options.prefetch * 10) }, sink),
      }),
  },
  {
    lie: 'credit does not change',
    rules: [31],
    mutate: (driver) =>
      replaced(driver, {
        consume: async (queue, options, sink): Promise<Consumer> => {
          const consumer = await driver.consume(queue, options, sink)
          return { setPrefetch: () => undefined, cancel: () => consumer.cancel() }
        },
      }),
  },
  {
    lie: 'every settle succeeds',
    rules: [34, 35, 49],
    mutate: delivering((delivery) => ({
      settle: async (outcome) => {
        await delivery.settle(outcome)
        return true
      },
    })),
  },
  {
    lie: 'retry is release',
    rules: [36],
    mutate: settling((o) => (o.type === 'retry' ? { type: 'release', delayMs: o.delayMs } : o)),
  },
  {
    lie: 'release is retry',
    rules: [37],
    mutate: settling((o) => (o.type === 'release' ? { type: 'retry', delayMs: o.delayMs ?? 0 } : o)),
  },
  { lie: 'keys are ignored', rules: [42], mutate: publishing(without('key')) },
  {
    lie: 'priorities are ignored',
    rules: [43],
    mutate: publishing((outgoing) => {
      const { priority: _priority, ...properties } = outgoing.properties
      return { ...outgoing, properties }
    }),
  },
  {
    lie: 'exclusive is ignored',
    rules: [46],
    mutate: (driver) =>
      replaced(driver, {
        consume: (queue, options, sink) => driver.consume(queue, { ...options, exclusive: false }, sink),
      }),
  },
  {
    lie: 'cancel does nothing',
    rules: [44],
    mutate: (driver) =>
      replaced(driver, {
        consume: async (queue, options, sink): Promise<Consumer> => {
          const consumer = await driver.consume(queue, options, sink)
          return { setPrefetch: (prefetch) => consumer.setPrefetch(prefetch), cancel: async () => undefined }
        },
      }),
  },
  {
    lie: 'lost never fires',
    rules: [50],
    mutate: delivering(() => ({ lost: new AbortController().signal })),
  },
  { lie: 'delays are ignored', rules: [53, 55, 56, 58], mutate: publishing(without('delayMs')) },
  {
    lie: 'delays are ten times as long',
    rules: [54],
    mutate: publishing((outgoing) => ({ ...outgoing, delayMs: (outgoing.delayMs ?? 0) * 10 })),
  },
  {
    lie: 'cancelling a delayed message only says so',
    rules: [58],
    mutate: (driver) => replaced(driver, { cancelDelayed: async () => 1 }),
  },
  {
    lie: 'dead letters are dropped',
    rules: [60, 61],
    mutate: settling((o) => (o.type === 'dead' ? { type: 'ack' } : o)),
  },
  {
    lie: 'redrive moves nothing',
    rules: [62],
    mutate: (driver) => replaced(driver, { move: async () => 5 }),
  },
  { lie: 'ttl is ignored', rules: [64], mutate: publishing(without('ttlMs')) },
  { lie: 'deduplication is ignored', rules: [65, 68], mutate: publishing(without('dedupe')) },
  {
    lie: 'the window never ends',
    rules: [66],
    mutate: publishing((outgoing) => ({
      ...outgoing,
      ...(outgoing.dedupe && { dedupe: { ...outgoing.dedupe, windowMs: 60_000 } }),
    })),
  },
  {
    lie: 'one acknowledgement too many is counted',
    rules: [77],
    mutate: (driver) =>
      replaced(driver, {
        stats: async (queue) => {
          const stats = await driver.stats(queue)
          return { ...stats, acked: (stats.acked ?? 0) + 1 }
        },
      }),
  },
  {
    lie: 'purge takes all',
    rules: [79],
    mutate: (driver) => replaced(driver, { purge: (queue) => driver.purge(queue, 'all') }),
  },
  { lie: 'there is but one namespace', rules: [80], mutate: (driver) => driver, options: () => ({}) },
]

describe('a driver that lies fails the rule it lies about', () => {
  for (const mutant of mutants) {
    test(mutant.lie, async () => {
      const engine: EngineUnderTest = {
        name: 'mutant',
        create: async () => {
          const harness = await memoryEngine.create()
          return {
            ...harness,
            connect: async (options = {}) =>
              mutant.mutate(await harness.connect(mutant.options?.(options) ?? options)),
          }
        },
      }
      for (const rule of mutant.rules) {
        assert.equal(await outcomeOf(engine, rule), 'failed', `rule ${rule} did not notice`)
        if (mutant.lie === mutants[0]?.lie)
          assert.equal(await outcomeOf(memoryEngine, rule, 30_000), 'passed')
      }
    })
  }
})

/** Runs one rule on an engine: with little patience, for that of a liar is used up. */
async function outcomeOf(engine: EngineUnderTest, rule: number, patienceMs = 400): Promise<string> {
  const tests = new Map<string, () => Promise<void>>()
  const results = conformance({
    engine,
    runner: { test: (name, run) => tests.set(name.split(' ')[0] ?? '', run) },
    patienceMs,
    testTimeoutMs: patienceMs * 12,
  })
  await tests
    .get(numberText(rule))?.()
    .catch(() => undefined)
  return results[0]?.outcome.type ?? 'not run'
}
