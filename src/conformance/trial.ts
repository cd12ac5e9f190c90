/**
 * A trial: one line's test against one fresh engine. It hands out drivers and clients, cleans up after itself, knows
 * how to wait on the engine's own clock, and writes down what the outcome was.
 */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from '../client/client.ts'
import type { Capabilities, Driver } from '../client/driver.ts'
import { UnsupportedError } from '../model/errors.ts'
import type { ConnectOptions, EngineUnderTest, Harness, NetworkHooks, Outcome } from './engine.ts'

interface TrialLimits {
  readonly soakMs: number
  readonly patienceMs: number
  readonly timeoutMs: number
}

interface Connection {
  readonly driver: Driver
  readonly capabilities: Capabilities
  readonly options: ConnectOptions | undefined
}

export class Trial {
  readonly engine: EngineUnderTest
  readonly harness: Harness
  readonly soakMs: number
  /** How long to wait for what should happen soon. Generous: no test asserts on tight timing. */
  readonly patienceMs: number
  #connections: Connection[] = []
  #clients: { client: Client; driver: Driver }[] = []
  #outcome: Outcome = { type: 'passed' }

  constructor(engine: EngineUnderTest, harness: Harness, limits: TrialLimits) {
    this.engine = engine
    this.harness = harness
    this.soakMs = limits.soakMs
    this.patienceMs = limits.patienceMs
  }

  get outcome(): Outcome {
    return this.#outcome
  }

  /** A new connection, opened. */
  async connect(options?: ConnectOptions): Promise<Driver> {
    const driver = await this.harness.connect(options)
    const capabilities = await driver.open()
    this.#connections.push({ driver, capabilities, options })
    return driver
  }

  /** What a driver said of itself when it was opened. */
  capabilities(driver: Driver): Capabilities {
    const connection = this.#connections.find((candidate) => candidate.driver === driver)
    assert.ok(connection, 'the driver was not opened by this trial')
    return connection.capabilities
  }

  /** A new connection with its capabilities. */
  async open(options?: ConnectOptions): Promise<{ driver: Driver; capabilities: Capabilities }> {
    const driver = await this.connect(options)
    return { driver, capabilities: this.capabilities(driver) }
  }

  /** A new connection as users hold it. */
  async client(options?: ConnectOptions): Promise<Client> {
    const { driver, capabilities } = await this.open(options)
    const client = new Client(driver, capabilities)
    this.#clients.push({ client, driver })
    return client
  }

  /** A connection dies without a word, or the nearest thing to it that the engine has. */
  async kill(driver: Driver): Promise<void> {
    if (this.harness.kill !== undefined) await this.harness.kill(driver)
    else await driver.close({ drainMs: 0 })
  }

  /** The process of this client dies: alone where the engine is a server, else with the engine. */
  async dieWith(client: Client): Promise<void> {
    const driver = this.#clients.find((candidate) => candidate.client === client)?.driver
    assert.ok(driver, 'the client was not made by this trial')
    if (this.harness.network === undefined) await this.harness.crash?.()
    else await this.kill(driver)
  }

  /**
   * The names of all queues: from the engine, or where it cannot tell them (and says so) from its operator's side.
   */
  async queueNames(from: Driver | Client): Promise<readonly string[]> {
    const driver = this.#clients.find(({ client }) => client === from)?.driver ?? (from as Driver)
    const connection = this.#connections.find((candidate) => candidate.driver === driver)
    assert.ok(connection, 'the driver was not opened by this trial')
    if (connection.capabilities.listing.level !== 'none') return from.queues()
    assertUnsupported(await rejection(from.queues()), 'listing queues')
    if (this.harness.queueNames === undefined) {
      this.notApplicable('neither the engine nor the harness can tell which queues there are')
    }
    return [...(await this.harness.queueNames(connection.options))].sort()
  }

  /** Closes one connection before the trial ends. */
  async release(driver: Driver): Promise<void> {
    this.#connections = this.#connections.filter((connection) => connection.driver !== driver)
    await driver.close()
  }

  /** Time passes: on the engine's clock where it has one of its own. */
  async sleep(ms: number): Promise<void> {
    if (this.harness.clock === undefined) await delay(ms)
    else await this.harness.clock.advance(ms)
  }

  /** In ms since the epoch; real time is taken from the clock that is never set back. */
  now(): number {
    return this.harness.clock === undefined ? steadyNow() : this.harness.clock.now()
  }

  /** Waits until the condition holds; fails with `what` if that takes longer than the suite is patient. */
  async eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const startMs = performance.now()
    while (!(await condition())) {
      assert.ok(performance.now() - startMs < this.patienceMs, `not within ${this.patienceMs} ms: ${what}`)
      await delay(5)
      if (this.harness.clock !== undefined) await this.harness.clock.advance(5)
    }
  }

  /** The line passed, but with less than it asks for. */
  note(note: string): void {
    this.#outcome = { type: 'passed', note }
  }

  /** Asserts that the engine says no, by name, and writes that down as the line's outcome. */
  async refuses(feature: string, action: () => Promise<unknown>): Promise<void> {
    const error = await rejection(action())
    assertUnsupported(error, feature)
    this.unsupported(feature)
  }

  /** The line's outcome: the engine cannot, and said so in a way the test has checked. */
  unsupported(feature: string): void {
    this.#outcome = { type: 'unsupported', feature }
  }

  /** Ends the trial: what the line speaks of does not exist here. */
  notApplicable(reason: string): never {
    throw new NotApplicable(reason)
  }

  /** Asserts a hook of the harness; without it the line does not apply, for this reason. */
  needs(hook: keyof Harness, reason: string): void {
    if (this.harness[hook] === undefined) this.notApplicable(reason)
  }

  /** The hooks of a network engine, this one among them; without it the line does not apply. */
  needsNetwork(hook: keyof NetworkHooks, missing: string): NetworkHooks {
    const { network } = this.harness
    if (network === undefined) {
      this.notApplicable('needs a network engine: this one lives in the process that uses it')
    }
    if (network[hook] === undefined) this.notApplicable(missing)
    return network
  }

  /** Skips lines about durability for an engine that claims none. */
  needsDurability(driver: Driver): void {
    if (!this.capabilities(driver).durable) {
      this.notApplicable('keeps messages as long as its process, and says so (capabilities.durable is false)')
    }
  }

  /** Stops the engine gracefully and starts it again; every connection is gone. */
  async restart(): Promise<void> {
    assert.ok(
      this.harness.restart !== undefined,
      'an engine that claims durability must be shown to survive a restart',
    )
    await this.closeAll()
    await this.harness.restart()
  }

  /** Kills the engine and starts it again; every connection is gone. */
  async crash(): Promise<void> {
    this.needs('crash', 'the harness cannot kill the engine')
    await this.harness.crash?.()
    await this.abandonAll()
  }

  /** Lets go of connections to an engine that is dead: how they close, or whether, is no matter. */
  async abandonAll(): Promise<void> {
    const clients = this.#clients
    const connections = this.#connections
    this.#clients = []
    this.#connections = []
    const closing = [
      ...clients.map(({ client }) => client.close()),
      ...connections.map(({ driver }) => driver.close({ drainMs: 0 })),
    ]
    await within(2_000, 'dead connections did not close', Promise.allSettled(closing)).catch(() => undefined)
  }

  /** Closes clients, then the drivers that are left. What fails to close fails the trial. */
  async closeAll(): Promise<void> {
    const clients = this.#clients
    const connections = this.#connections
    this.#clients = []
    this.#connections = []
    for (const { client } of clients) await client.close()
    for (const { driver } of connections) await driver.close({ drainMs: 0 })
  }

  /** Runs a line and says how it ended; never rejects. */
  static async run(
    engine: EngineUnderTest,
    run: (trial: Trial) => Promise<void>,
    limits: TrialLimits,
  ): Promise<{ outcome: Outcome; error?: unknown }> {
    let trial: Trial | undefined
    try {
      trial = new Trial(engine, await engine.create(), limits)
      await within(limits.timeoutMs, 'the test did not end', run(trial))
      await within(limits.timeoutMs, 'the connections did not close', trial.closeAll())
      return { outcome: trial.outcome }
    } catch (error) {
      if (error instanceof NotApplicable)
        return { outcome: { type: 'not applicable', reason: error.message } }
      return { outcome: { type: 'failed', error: String(error) }, error }
    } finally {
      await trial?.tidy(limits.timeoutMs)
    }
  }

  /** After the verdict: nothing that happens here changes it. */
  async tidy(timeoutMs: number): Promise<void> {
    await within(timeoutMs, 'the connections did not close', this.closeAll()).catch(() => undefined)
    await within(timeoutMs, 'the engine did not stop', this.harness.dispose()).catch(() => undefined)
  }
}

function steadyNow(): number {
  return performance.timeOrigin + performance.now()
}

class NotApplicable extends Error {}

/** The error that a promise rejects with; fails if it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof Error, `rejected with ${String(error)}, which is no Error`)
    return error
  }
  throw new assert.AssertionError({ message: 'resolved where it should have been refused' })
}

/** Asserts an UnsupportedError that names the feature, the engine and the way out. */
export function assertUnsupported(error: Error, feature: string): void {
  assert.ok(
    error instanceof UnsupportedError,
    `${feature}: expected an UnsupportedError, got ${String(error)}`,
  )
  assert.equal(error.code, 'UNSUPPORTED')
  assert.ok(error.feature.length > 0, 'the error names the feature')
  assert.ok(error.driver.length > 0, 'the error names the engine')
  assert.ok(error.hint.length > 0, 'the error names the way out')
}

/** Asserts the code of one of Millrace's own errors. */
export function assertCode(error: unknown, ...codes: readonly string[]): void {
  assert.ok(error instanceof Error, `expected an Error, got ${String(error)}`)
  const code = 'code' in error ? String(error.code) : 'none'
  assert.ok(codes.includes(code), `expected code ${codes.join(' or ')}, got ${code}: ${error.message}`)
}

/** Settles as the promise does, or rejects after so long. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
