/** What the tests of the engine share: an engine with a journal that is written down, and sessions that collect. */
import { Engine } from '../../src/engine/engine.ts'
import type { EngineDelivery } from '../../src/engine/delivery.ts'
import type { EngineLimits } from '../../src/engine/limits.ts'
import type { Pager } from '../../src/engine/pager.ts'
import { persistentPublish } from '../../src/engine/publish.ts'
import type { PublishExtras, PublishOutcome } from '../../src/engine/publish.ts'
import type { Queue } from '../../src/engine/queue.ts'
import type { Session } from '../../src/engine/session.ts'
import type { FieldTable } from '../../src/model/field-value.ts'
import { Message } from '../../src/model/message.ts'
import type { Properties } from '../../src/model/properties.ts'
import type { Journal } from '../../src/model/record.ts'
import { silentJournal } from '../../src/engine/engine.ts'

/** A session, what it was given, and short ways to use it. */
export class Client {
  readonly session: Session
  readonly deliveries: EngineDelivery[] = []
  readonly cancelled: string[] = []
  readonly returned: Message[] = []
  readonly #bench: Bench

  constructor(bench: Bench, options: { connectionId: number; vhost?: string }) {
    this.#bench = bench
    this.session = bench.engine.openSession({
      vhost: options.vhost ?? '/',
      connectionId: options.connectionId,
      sink: {
        deliver: (delivery) => void this.deliveries.push(delivery),
        cancelled: (tag) => void this.cancelled.push(tag),
        returned: (message) => void this.returned.push(message),
      },
    })
  }

  queue(
    name: string,
    args: FieldTable = {},
    options: { autoDelete?: boolean; durable?: boolean } = {},
  ): Queue {
    this.session.declareQueue({ name, durable: true, arguments: args, ...options }, this.#bench.nowMs)
    return this.session.queue(name)
  }

  send(
    queue: string,
    body: string,
    extras: Partial<PublishExtras> = {},
    properties: Properties = {},
  ): PublishOutcome {
    return this.publish('', queue, body, extras, properties)
  }

  publish(
    exchange: string,
    routingKey: string,
    body: string,
    extras: Partial<PublishExtras> = {},
    properties: Properties = {},
  ): PublishOutcome {
    const message = Message.of(exchange, routingKey, properties, body)
    const hasHeaders = properties.headers !== undefined
    return this.session.publish(message, { ...persistentPublish, hasHeaders, ...extras }, this.#bench.nowMs)
  }

  consume(
    queue: string,
    options: { tag?: string; noAck?: boolean; prefetch?: number; arguments?: FieldTable } = {},
  ) {
    return this.session.consume({ queue, tag: '', ...options }, this.#bench.nowMs)
  }

  /** Everything ready, taken with get and acknowledged: body by body. */
  drain(queue: string): string[] {
    const bodies: string[] = []
    for (;;) {
      const got = this.session.get({ queue, noAck: true }, this.#bench.nowMs)
      if (got === undefined) return bodies
      bodies.push(String(got.delivery.entry.message.body))
    }
  }

  /** The headers of the message at the head, which is taken. */
  headers(queue: string): FieldTable {
    const got = this.session.get({ queue, noAck: true }, this.#bench.nowMs)
    return got?.delivery.entry.message.properties.headers ?? {}
  }

  /** Forgets and gives the bodies delivered so far. */
  takeBodies(): string[] {
    return this.deliveries.splice(0).map((delivery) => String(delivery.entry.message.body))
  }
}

export class Bench {
  readonly engine: Engine
  nowMs = 1_000_000
  #lastConnectionId = 0

  constructor(options: { journal?: Journal; pager?: Pager; limits?: Partial<EngineLimits> } = {}) {
    let names = 0
    this.engine = new Engine({
      journal: options.journal ?? silentJournal,
      ...(options.pager === undefined ? {} : { pager: options.pager }),
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      name: () => String((names += 1)),
    })
  }

  /** With the virtual host that most tests use. */
  static create(options: ConstructorParameters<typeof Bench>[0] = {}): Bench {
    const bench = new Bench(options)
    bench.engine.declareVhost('/')
    return bench
  }

  /** A client on a connection of its own. */
  client(options: { connectionId?: number; vhost?: string } = {}): Client {
    this.#lastConnectionId += 1
    return new Client(this, { connectionId: this.#lastConnectionId, ...options })
  }

  /** Advances and dispatches until there is nothing more to do, checking everything. */
  settle(): void {
    this.engine.invariants()
    for (let round = 0; round < 10_000; round += 1) {
      let more = false
      if (this.engine.nextDueMs() <= this.nowMs) more = this.engine.advance(this.nowMs)
      this.engine.invariants()
      more = this.engine.dispatch(this.nowMs) || more
      this.engine.invariants()
      if (!more && this.engine.nextDueMs() > this.nowMs) return
    }
    throw new Error('the engine does not come to rest')
  }

  pass(ms: number): void {
    this.nowMs += ms
    this.settle()
  }
}

/** A journal that writes down what it is told, one line a fact. */
export class JournalLog implements Journal {
  readonly lines: string[] = []

  published: Journal['published'] = (entries, supersedes) => {
    const seqs = entries.map((entry) => entry.seq).join(',')
    this.lines.push(supersedes === 0 ? `published ${seqs}` : `published ${seqs} for ${supersedes}`)
  }
  settled: Journal['settled'] = (seq) => void this.lines.push(`settled ${seq}`)
  delivered: Journal['delivered'] = (seq) => void this.lines.push(`delivered ${seq}`)
  released: Journal['released'] = (seq) => void this.lines.push(`released ${seq}`)
  purged: Journal['purged'] = (purge) => void this.lines.push(`purged ${JSON.stringify(purge)}`)
  defined: Journal['defined'] = (definition) => void this.lines.push(definition.type)

  take(): string[] {
    return this.lines.splice(0)
  }
}

/** The code of the error that `run` throws. */
export function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof Error && 'code' in error) return String(error.code)
    throw error
  }
  return 'no error'
}
