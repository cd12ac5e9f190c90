/**
 * One run of the whole engine under faults, replayable from its seed: driver, broker, engine and store over a simulated
 * disk, clock and event loop. What happens next is drawn: a call of a client, a turn of the event loop, one operation of
 * the disk, time passing, a process killed, a disk that is full. The oracle watches every answer; at the end the
 * disk is well again, everything that is left is taken, and nothing promised may be missing.
 */
import { Broker } from '../../src/broker/broker.ts'
import type { Consumer, Delivery, Outgoing } from '../../src/client/driver.ts'
import { InProcessDriver } from '../../src/drivers/in-process.ts'
import { Store } from '../../src/store/store.ts'
import type { StoreLimits } from '../../src/store/limits.ts'
import { SimulatedDisk } from './disk.ts'
import { Random } from '../std/random.ts'
import { Oracle } from './oracle.ts'
import type { Copy } from './oracle.ts'
import { settled, Turns } from './turns.ts'

export interface SimulationOptions {
  readonly seed: number
  readonly steps?: number
  /** Breaks the product on purpose, to see that the simulation can tell. */
  readonly sabotage?: Sabotage
}

export type Sabotage = 'sync does nothing' | 'a record is dropped'

export interface SimulationReport {
  readonly seed: number
  readonly broken: readonly string[]
  readonly copies: number
  readonly deliveries: number
  readonly crashes: number
}

interface Held {
  readonly delivery: Delivery
  readonly copy: Copy
  readonly dead: boolean
}

/** Small, so that a few hundred messages fill files, windows and indexes. */
const limits: Partial<StoreLimits> = {
  fileBytes: 8 * 1024,
  chunkBytes: 2 * 1024,
  sliceEntries: 50,
  readBytes: 1024,
}
const families = ['plain', 'levels', 'copy.a', 'copy.b'] as const
const maxPriority = 3
const epochMs = 1_800_000_000_000

export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  return new Simulation(options).run()
}

class Simulation {
  readonly #random: Random
  readonly #options: SimulationOptions
  readonly #oracle = new Oracle()
  readonly #turns = new Turns(epochMs)
  #disk: SimulatedDisk
  #broker: Broker | undefined
  #driver: InProcessDriver | undefined
  #held: Held[] = []
  #consumers: Consumer[] = []
  /** Counts the lives of the process: an answer to a call of an earlier life never comes. */
  #life = 0
  #nextId = 1
  #crashes = 0
  #draining = false

  constructor(options: SimulationOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#disk = this.#newDisk(undefined)
  }

  async run(): Promise<SimulationReport> {
    try {
      await this.#start()
      const steps = this.#options.steps ?? 400
      for (let step = 0; step < steps; step++) {
        await this.#step()
        this.#broker?.invariants()
      }
      await this.#drain()
      this.#oracle.judge()
    } catch (error) {
      this.#oracle.broken.push(`thrown: ${(error as Error).stack ?? String(error)}`)
    }
    return {
      seed: this.#options.seed,
      broken: this.#oracle.broken,
      copies: this.#oracle.copies,
      deliveries: this.#oracle.deliveries,
      crashes: this.#crashes,
    }
  }

  // --- the process -------------------------------------------------------------------------------------------------

  #newDisk(crashed: SimulatedDisk | undefined): SimulatedDisk {
    const disk =
      crashed === undefined
        ? new SimulatedDisk({ random: this.#random, stepped: true })
        : crashed.crash(this.#random.pick(['process', 'nothing', 'chance', 'chance']))
    if (this.#options.sabotage === 'sync does nothing') ignoreSync(disk)
    return disk
  }

  async #start(): Promise<void> {
    const opening = this.#open()
    await this.#stepUntil(opening)
  }

  async #open(): Promise<void> {
    const storage = await Store.open(this.#disk, { scheduler: this.#turns, limits, folderId: 'simulated' })
    if (this.#options.sabotage === 'a record is dropped') this.#dropRecords(storage.store)
    const broker = new Broker({
      storage,
      clock: this.#turns,
      newName: () => String(this.#nextId++),
      limits: { windowMessages: 8, windowBytes: 2_000, delayedWindow: 4 },
    })
    this.#broker = broker
    const driver = new InProcessDriver({
      name: 'file',
      acquire: () => Promise.resolve({ broker, release: () => broker.close() }),
    })
    this.#driver = driver
    await driver.open()
    await this.#declare(driver)
    for (const family of families) await this.#consume(driver, family)
  }

  async #declare(driver: InProcessDriver): Promise<void> {
    await driver.declare({
      exchanges: [{ name: 'events', kind: 'fanout' }],
      queues: families.flatMap((name) => [
        { name: `${name}.dead` },
        {
          name,
          deadLetter: { exchange: '', routingKey: `${name}.dead` },
          ...(name === 'levels' && { maxPriority }),
        },
      ]),
      bindings: [
        { source: 'events', destination: 'copy.a', routingKey: '' },
        { source: 'events', destination: 'copy.b', routingKey: '' },
      ],
    })
  }

  async #consume(driver: InProcessDriver, queue: string): Promise<void> {
    const life = this.#life
    const consumer = await driver.consume(queue, { prefetch: 1 + this.#below(12) }, (delivery) => {
      if (life === this.#life) this.#delivered(delivery)
    })
    if (life === this.#life) this.#consumers.push(consumer)
  }

  /** Killed: what was not synced is lost, torn or kept, as drawn; then started again. */
  async #crash(): Promise<void> {
    this.#crashes += 1
    this.#log('crash')
    this.#life += 1
    this.#turns.clear()
    this.#held = []
    this.#consumers = []
    this.#oracle.crashed()
    this.#disk = this.#newDisk(this.#disk)
    this.#turns.advance(this.#below(50))
    this.#fill(false)
    await this.#start()
  }

  async #restart(): Promise<void> {
    this.#log('restart')
    const driver = this.#driver
    if (driver === undefined) return
    this.#life += 1
    this.#held = []
    this.#consumers = []
    this.#oracle.crashed()
    await this.#stepUntil(driver.close())
    await this.#start()
  }

  #dropRecords(store: Store): void {
    const published = store.published.bind(store)
    store.published = (entries, supersedes) => {
      if (this.#random.next() > 0.02) published(entries, supersedes)
    }
  }

  // --- one step ----------------------------------------------------------------------------------------------------

  async #step(): Promise<void> {
    const draw = this.#random.next()
    if (draw < 0.22) this.#publish()
    else if (draw < 0.42) this.#settleOne()
    else if (draw < 0.62) this.#turns.runOne(this.#random)
    else if (draw < 0.88) this.#disk.step()
    else if (draw < 0.95) this.#turns.advance(this.#below(30))
    else if (draw < 0.965) this.#operate()
    else if (draw < 0.975) this.#fill(this.#disk.capacityBytes > 0)
    else if (draw < 0.985) await this.#crash()
    else if (draw < 0.988) {
      this.#fill(false)
      await this.#restart()
    }
    await settled()
  }

  #log(...what: unknown[]): void {
    if (process.env['SIM_LOG'] !== undefined) console.log(this.#now() - epochMs, ...what)
  }

  #publish(): void {
    const driver = this.#driver as InProcessDriver
    const batch: Outgoing[] = []
    const copies: Copy[] = []
    const count = 1 + this.#below(4)
    for (let index = 0; index < count; index++) this.#addMessage(batch, copies)
    this.#promise(driver.publish(batch), (results) => {
      for (const result of results)
        if (result.type !== 'stored') this.#oracle.broken.push(`publish: ${result.type}`)
      for (const copy of copies) {
        this.#log('stored', copy.family, copy.id)
        this.#oracle.stored(copy)
      }
    })
  }

  #addMessage(batch: Outgoing[], copies: Copy[]): void {
    const id = `m${this.#nextId++}`
    const draw = this.#random.next()
    const delayMs = draw < 0.3 ? 1 + this.#below(200) : 0
    const key = draw > 0.7 ? `k${this.#below(3)}` : ''
    const target = this.#random.next()
    const [exchange, routingKey, into] =
      target < 0.5
        ? ['', 'plain', ['plain']]
        : target < 0.75
          ? ['', 'levels', ['levels']]
          : ['events', '', ['copy.a', 'copy.b']]
    const priority = this.#below(5)
    const dueAtMs = delayMs === 0 ? 0 : this.#now() + delayMs
    for (const family of into) {
      const lane = family === 'levels' ? Math.min(priority, maxPriority) : 0
      copies.push(this.#oracle.published(family, id, { dueAtMs, key, lane }))
    }
    batch.push({
      exchange: exchange,
      routingKey: routingKey,
      properties: { messageId: id, deliveryMode: 2, priority },
      body: id.repeat(1 + this.#below(20)),
      ...(delayMs > 0 && { delayMs }),
      ...(key !== '' && { key }),
    })
  }

  #delivered(delivery: Delivery): void {
    const dead = delivery.queue.endsWith('.dead')
    const family = dead ? delivery.queue.slice(0, -'.dead'.length) : delivery.queue
    const id = delivery.message.properties.messageId ?? ''
    const copy = this.#oracle.delivered(family, id, { attempt: delivery.attempt, nowMs: this.#now(), dead })
    this.#log('delivered', delivery.queue, id, 'attempt', delivery.attempt)
    if (copy === undefined) return
    if (!String(delivery.message.body).startsWith(id))
      this.#oracle.broken.push(`${family}/${id} has another's body`)
    if (this.#draining) {
      copy.drained += 1
      copy.held = false
      void delivery.settle({ type: 'ack' })
    } else this.#held.push({ delivery, copy, dead })
  }

  #settleOne(): void {
    if (this.#held.length === 0) return
    const [held] = this.#held.splice(this.#below(this.#held.length), 1) as [Held]
    const { delivery, copy, dead } = held
    copy.held = false
    const draw = this.#random.next()
    this.#log(
      'settle',
      delivery.queue,
      copy.id,
      draw < 0.6 ? 'ack' : draw < 0.8 ? 'retry' : draw < 0.9 ? 'release' : 'dead',
    )
    if (draw < 0.6) {
      copy.end = 'asked'
      this.#promise(delivery.settle({ type: 'ack' }), (still) => {
        if (still) copy.end = 'durable'
      })
    } else if (draw < 0.8) {
      const delayMs = this.#below(60)
      const dueAtMs = this.#now() + delayMs
      copy.dueAtMs = dueAtMs
      const { attempt } = delivery
      const { deaths } = copy
      this.#promise(delivery.settle({ type: 'retry', delayMs }), () => {
        copy.durableDueAtMs = Math.max(copy.durableDueAtMs, dueAtMs)
        if (!dead && copy.deaths === deaths) copy.attemptFloor = Math.max(copy.attemptFloor, attempt + 1)
      })
    } else if (draw < 0.9) {
      const delayMs = this.#random.next() < 0.5 ? 0 : this.#below(60)
      const dueAtMs = delayMs > 0 ? this.#now() + delayMs : 0
      copy.dueAtMs = Math.max(copy.dueAtMs, dueAtMs)
      this.#promise(delivery.settle({ type: 'release', delayMs }), () => {
        copy.durableDueAtMs = Math.max(copy.durableDueAtMs, dueAtMs)
      })
    } else {
      // A dead letter of a dead-letter queue has nowhere to go: it is dropped.
      if (dead) copy.end = 'asked'
      // If it comes back, then by a move, which begins its attempts anew.
      copy.attemptFloor = 1
      copy.deaths += 1
      this.#promise(delivery.settle({ type: 'dead', reason: 'drawn' }), () => undefined)
    }
  }

  /** What an operator does. */
  #operate(): void {
    const driver = this.#driver as InProcessDriver
    const family = families[this.#below(families.length)] as string
    const draw = this.#random.next()
    this.#log(
      'operate',
      family,
      draw < 0.3 ? 'move' : draw < 0.5 ? 'pause' : draw < 0.8 ? 'resume' : draw < 0.9 ? 'prefetch' : 'purge',
    )
    if (draw < 0.3) this.#promise(driver.move(`${family}.dead`, family), () => undefined)
    else if (draw < 0.5) this.#promise(driver.pause(family), () => undefined)
    else if (draw < 0.8) for (const name of families) this.#promise(driver.resume(name), () => undefined)
    else if (draw < 0.9)
      this.#consumers[this.#below(this.#consumers.length)]?.setPrefetch(1 + this.#below(20))
    else this.#purge(driver, family)
  }

  #purge(driver: InProcessDriver, family: string): void {
    const gone = this.#oracle.unheld(family).filter((copy) => copy.end === 'no')
    // A purge takes what is in the queue, and not what is dead; which of the two holds a copy, the oracle cannot tell.
    for (const copy of gone) copy.end = 'asked'
    this.#promise(driver.purge(family, 'all'), () => undefined)
  }

  /** An answer counts only in the life in which it was asked for; a refusal promises nothing. */
  #promise<T>(answer: Promise<T>, kept: (value: T) => void): void {
    const life = this.#life
    answer.then(
      (value) => {
        if (life === this.#life) kept(value)
      },
      () => undefined,
    )
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  async #drain(): Promise<void> {
    this.#fill(false)
    await this.#crash()
    const driver = this.#driver as InProcessDriver
    this.#draining = true
    for (const { delivery, copy } of this.#held.splice(0)) {
      copy.drained += 1
      copy.held = false
      void delivery.settle({ type: 'ack' })
    }
    const queues = families.flatMap((name) => [name, `${name}.dead`])
    for (const name of families) await this.#stepUntil(driver.resume(name))
    for (const name of queues) await this.#stepUntil(this.#consume(driver, name))
    for (let round = 0; ; round++) {
      if (round > 5_000) throw new Error('the queues do not get empty')
      this.#turns.advance(20)
      while (this.#turns.runOne(this.#random)) await settled()
      while (this.#disk.step()) await settled()
      await settled()
      const stats = await Promise.all(queues.map((name) => driver.stats(name)))
      if (stats.every(({ ready, unacked, delayed }) => ready + unacked + delayed === 0)) break
    }
    this.#broker?.invariants()
    await this.#stepUntil(driver.close())
  }

  /** Runs everything until the promise is settled; what it rejects with is thrown. */
  async #stepUntil(promise: Promise<unknown>): Promise<void> {
    let done = false
    let failure: unknown
    promise.then(
      () => (done = true),
      (error: unknown) => {
        failure = error ?? new Error('rejected')
        done = true
      },
    )
    await settled()
    for (let round = 0; !done; round++) {
      if (round > 20_000) throw new Error('it waits for ever')
      const turned = this.#turns.runOne(this.#random)
      const stepped = this.#disk.step()
      if (!turned && !stepped) this.#turns.advance(10)
      await settled()
    }
    if (failure !== undefined) throw failure
  }

  /** Nothing more fits, or everything again. */
  #fill(full: boolean): void {
    this.#disk.capacityBytes = full ? 0 : Infinity
  }

  #now(): number {
    return this.#turns.nowMs()
  }

  #below(limit: number): number {
    return this.#random.below(limit)
  }
}

/** The store is told that its writes are safe when they are not. */
function ignoreSync(disk: SimulatedDisk): void {
  const open = disk.open.bind(disk)
  disk.open = async (path, mode) => ({ ...(await open(path, mode)), sync: () => Promise.resolve() })
}
