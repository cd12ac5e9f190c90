/**
 * One run of the whole engine under faults, replayable from its seed: driver, broker, engine and store over a simulated
 * disk, clock and event loop. What happens next is drawn: a call of a client, a turn of the event loop, one operation of
 * the disk, time passing, a process killed, a disk that is full. The oracle watches every answer; at the end the
 * disk is well again, everything that is left is taken, and nothing promised may be missing.
 */
import { Broker } from '../../src/broker/broker.ts'
import { InProcessDriver } from '../../src/drivers/in-process.ts'
import { Store } from '../../src/store/store.ts'
import type { StoreLimits } from '../../src/store/limits.ts'
import { SimulatedDisk } from './disk.ts'
import { Random } from '../std/random.ts'
import { Oracle } from './oracle.ts'
import { families, later, Traffic } from './traffic.ts'
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

/** Small, so that a few hundred messages fill files, windows and indexes. */
const limits: Partial<StoreLimits> = {
  fileBytes: 8 * 1024,
  chunkBytes: 2 * 1024,
  eagerBatchBytes: 300,
  sliceEntries: 50,
  readBytes: 1024,
  compactRestMs: 10,
}
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
  readonly #traffic: Traffic
  #names = 0
  #crashes = 0

  constructor(options: SimulationOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#traffic = new Traffic({ random: this.#random, oracle: this.#oracle, turns: this.#turns })
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
      newName: () => String((this.#names += 1)),
      limits: { windowMessages: 8, windowBytes: 2_000, delayedWindow: 4 },
    })
    this.#broker = broker
    const driver = new InProcessDriver({
      name: 'file',
      acquire: () => Promise.resolve({ broker, release: () => broker.close() }),
    })
    this.#driver = driver
    await driver.open()
    await this.#traffic.begin(driver)
    declareLater(broker)
  }

  /** Killed: what was not synced is lost, torn or kept, as drawn; then started again. */
  async #crash(): Promise<void> {
    this.#crashes += 1
    this.#traffic.end('crash')
    this.#turns.clear()
    this.#disk = this.#newDisk(this.#disk)
    this.#turns.advance(this.#below(50))
    this.#fill(false)
    await this.#start()
  }

  async #restart(): Promise<void> {
    const driver = this.#driver
    if (driver === undefined) return
    this.#traffic.end('restart')
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
    if (draw < 0.22) this.#traffic.publish()
    else if (draw < 0.42) this.#traffic.settleOne()
    else if (draw < 0.62) this.#turns.runOne(this.#random)
    else if (draw < 0.88) this.#disk.step()
    else if (draw < 0.95) this.#turns.advance(this.#below(30))
    else if (draw < 0.965) this.#traffic.operate()
    else if (draw < 0.975) this.#fill(this.#disk.capacityBytes > 0)
    else if (draw < 0.985) await this.#crash()
    else if (draw < 0.988) {
      this.#fill(false)
      await this.#restart()
    } else if (draw < 0.993) this.#changePolicy()
    await settled()
  }

  /** One that limits nothing as far as the oracle can tell, and sends every message the long way round. */
  #changePolicy(): void {
    const broker = this.#broker as Broker
    if (broker.state !== 'open') return
    const { policies, vhosts } = broker.engine
    const [vhost] = vhosts.keys()
    const which = { vhost: vhost!, name: 'wide', operator: this.#below(2) === 0 }
    if (this.#below(3) === 0) policies.delete(which, broker.nowMs())
    else {
      const definition = { 'max-length': 1_000_000 + this.#below(10), 'message-ttl': 1_000_000_000 }
      policies.set({ ...which, pattern: '^copy', applyTo: 'queues', priority: 0, definition }, broker.nowMs())
    }
    broker.wake()
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  async #drain(): Promise<void> {
    this.#fill(false)
    await this.#crash()
    const driver = this.#driver as InProcessDriver
    this.#traffic.drain()
    const queues = families.flatMap((name) => [name, `${name}.dead`])
    for (const name of families) await this.#stepUntil(driver.resume(name))
    for (const name of queues) await this.#stepUntil(this.#traffic.consume(name))
    for (let round = 0; ; round++) {
      if (round > 5_000) throw new Error('the queues do not get empty')
      this.#turns.advance(20)
      while (this.#turns.runOne(this.#random)) await settled()
      while (this.#disk.step()) await settled()
      await settled()
      const stats = await this.#stepUntil(Promise.all(queues.map((name) => driver.stats(name))))
      const isEmpty = stats.every(({ ready, unacked = 0, delayed = 0 }) => ready + unacked + delayed === 0)
      if (isEmpty && heldBack(this.#broker as Broker) === 0) break
    }
    this.#broker?.invariants()
    await this.#stepUntil(driver.close())
  }

  /** Runs everything until the promise is settled; what it rejects with is thrown. */
  async #stepUntil<T>(promise: Promise<T>): Promise<T> {
    let done = false
    const settle = (): void => {
      done = true
    }
    promise.then(settle, settle)
    await settled()
    for (let round = 0; !done; round++) {
      if (round > 20_000) throw new Error('it waits for ever')
      const turned = this.#turns.runOne(this.#random)
      const stepped = this.#disk.step()
      if (!turned && !stepped) this.#turns.advance(10)
      await settled()
    }
    return promise
  }

  /** Nothing more fits, or everything again. */
  #fill(full: boolean): void {
    this.#disk.capacityBytes = full ? 0 : Infinity
  }

  #below(limit: number): number {
    return this.#random.below(limit)
  }
}

/** An exchange that holds back what clients send to it, in front of the one that copies. */
function declareLater(broker: Broker): void {
  const [vhost] = broker.engine.vhosts.keys()
  const sink = { deliver() {}, cancelled() {}, returned() {} }
  const session = broker.engine.openSession({ vhost: vhost!, connectionId: broker.newConnectionId(), sink })
  session.declareExchange({
    name: later,
    kind: 'x-delayed-message',
    durable: true,
    arguments: { 'x-delayed-type': 'fanout' },
  })
  session.bindExchange({ source: later, destination: 'events', routingKey: '' })
  session.close(broker.nowMs())
}

function heldBack(broker: Broker): number {
  const [vhost] = broker.engine.vhosts.values()
  return vhost?.exchange(later).holding?.delayed.length ?? 0
}

/** The store is told that its writes are safe when they are not. */
function ignoreSync(disk: SimulatedDisk): void {
  const open = disk.open.bind(disk)
  disk.open = async (path, mode) => ({ ...(await open(path, mode)), sync: () => Promise.resolve() })
}
