/**
 * What the suite is given: a test runner and an engine to put under test, with as many of the hooks below as that
 * engine's harness can offer. A line that needs a hook which is not there is reported with that reason, never skipped
 * in silence.
 */
import type { Driver } from '../client/driver.ts'

/** The part of a test runner that the suite uses; node:test and vitest both fit. */
export interface Runner {
  test(name: string, run: () => Promise<void>): unknown
  describe?(name: string, register: () => void): unknown
}

export interface EngineUnderTest {
  /** As in the table of capabilities: 'memory', 'file', 'amqp: on RabbitMQ', …. */
  readonly name: string
  /** A fresh engine that shares nothing with those created before. */
  create(): Promise<Harness>
}

/** One engine, and what can be done to it. */
export interface Harness {
  /** A new driver onto this engine, not yet opened: the suite calls `open`. May be called many times. */
  connect(options?: ConnectOptions): Driver | Promise<Driver>
  /** Stops and removes the engine; drivers are closed by then. */
  dispose(): Promise<void>
  /** The engine stops gracefully and comes back with what is durable; drivers are connected anew. */
  restart?(): Promise<void>
  /** The engine dies without a word and comes back with what its disk holds; drivers are connected anew. */
  crash?(): Promise<void>
  /** The driver's connection dies without a word, as when its process is killed. Default: it is closed at once. */
  kill?(driver: Driver): Promise<void>
  /** The disk refuses further writes, or takes them again. */
  diskFull?(full: boolean): Promise<void>
  /** The engine dies and what it wrote last is torn in the middle; it comes back. */
  tearLastWrite?(): Promise<void>
  /** The clock of the engine's machine is set on by so much, or back. */
  stepClock?(ms: number): Promise<void>
  /** The queues of a namespace as an operator sees them, where the engine's protocol has no word for that. */
  queueNames?(options?: ConnectOptions): Promise<readonly string[]>
  /** Virtual time, where the engine runs on it. */
  readonly clock?: VirtualClock
  /**
   * Publishers are made to wait once the engine holds about so many bytes of bodies. Absent where it keeps what it
   * cannot hold on disk.
   */
  readonly highWaterBytes?: number
  /** The engine is a server that other processes reach. */
  readonly network?: NetworkHooks
}

export interface ConnectOptions {
  /** Applications in different namespaces do not see each other (default: the engine's default namespace). */
  readonly namespace?: string
}

export interface VirtualClock {
  now(): number
  /** Time passes, and all that was due happens. */
  advance(ms: number): Promise<void>
}

/** What only a server on a network can be put through. */
export interface NetworkHooks {
  /** Runs `publish(queue, body)` or `consume(queue)` in a program of another language; resolves with what it printed. */
  foreign?(verb: 'publish' | 'consume', queue: string, body?: string): Promise<string>
  /** The driver's connection carries nothing any more, and nobody says so; until `heal`. */
  freeze?(driver: Driver): Promise<void>
  /** The driver's connection is cut and refused until `heal`. */
  cut?(driver: Driver): Promise<void>
  heal?(driver: Driver): Promise<void>
  /** A peer that stays silent is given up after so long. */
  readonly heartbeatMs?: number
  /** The server forgets queues, exchanges and bindings, as a replaced server does. */
  loseTopology?(): Promise<void>
  /** Another server takes over. */
  failOver?(): Promise<void>
  /** The driver's user is no longer let in. */
  revoke?(driver: Driver): Promise<void>
  /** A driver on a machine whose clock is off by so much. */
  connectSkewed?(skewMs: number): Driver | Promise<Driver>
}

export interface ConformanceOptions {
  readonly runner: Runner
  readonly engine: EngineUnderTest
  /** How long line 100 keeps the engine busy, in ms (default 2,000; an hour for the real thing). */
  readonly soakMs?: number
  /** How long a test waits for what should happen soon, in ms (default 30,000). */
  readonly patienceMs?: number
  /** A test that has not ended by then has failed, in ms (default 90,000). */
  readonly testTimeoutMs?: number
  /** Called after each line. */
  readonly onResult?: (result: LineResult) => void
}

/** What the run found out about one line. */
export interface LineResult {
  readonly number: number
  readonly heading: string
  readonly title: string
  readonly outcome: Outcome
}

export type Outcome =
  /** `note`: what the test had to make do with. */
  | { readonly type: 'passed'; readonly note?: string }
  /** Refused with an UnsupportedError, as it must be. */
  | { readonly type: 'unsupported'; readonly feature: string }
  | { readonly type: 'not applicable'; readonly reason: string }
  | { readonly type: 'failed'; readonly error: string }
