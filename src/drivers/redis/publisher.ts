/**
 * Messages on their way into queues: those for one queue are sent together, one call for all that gathered while the calls
 * before were under way. A call that is repeated after its connection went stores nothing twice.
 */
import type { Caller } from './caller.ts'
import type { Keys } from './keys.ts'
import type { Argument, Reply } from './node-redis.ts'
import { maximumPackBytes, maximumPackMessages } from './packer.ts'
import type { Pack } from './packer.ts'

/** What became of a message in one queue. */
export type Outcome =
  | { readonly type: 'stored' | 'missing' | 'full' }
  | { readonly type: 'duplicate'; readonly messageId: string }
  | { readonly type: 'failed'; readonly error: Error }

/** Messages for one queue; `settled` is told once, with an outcome for each. */
interface Parcel {
  readonly pack: Pack
  readonly settled: (outcomes: readonly Outcome[]) => void
}

const stored: Outcome = Object.freeze({ type: 'stored' })
const missing: Outcome = Object.freeze({ type: 'missing' })
const full: Outcome = Object.freeze({ type: 'full' })

/** The server remembers the last 64 answers of each client. */
const maximumCallsUnderWay = 16
/** More are remembered only while they are in use. */
const maximumLanes = 1_000

export class Publisher {
  readonly #caller: Caller
  readonly #keys: Keys
  readonly #driver: string
  readonly #onOut: (queue: string) => void
  readonly #lanes = new Map<string, Lane>()
  /** Of the numbers of lanes that are forgotten. */
  #highest = 0
  #underWay = 0
  #idle: (() => void)[] = []

  constructor(setup: { caller: Caller; keys: Keys; driver: string; onOut: (queue: string) => void }) {
    this.#caller = setup.caller
    this.#keys = setup.keys
    this.#driver = setup.driver
    this.#onOut = setup.onOut
  }

  /** One outcome for each message, in order; never rejects. */
  send(queue: string, packs: readonly Pack[]): Promise<readonly Outcome[]> {
    if (packs.length === 1) return this.#send(queue, packs[0] as Pack)
    return Promise.all(packs.map((pack) => this.#send(queue, pack))).then((all) => all.flat())
  }

  get isBusy(): boolean {
    return this.#underWay > 0
  }

  /** Resolves when nothing is under way. */
  async drain(): Promise<void> {
    if (this.#underWay > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #send(queue: string, pack: Pack): Promise<readonly Outcome[]> {
    let lane = this.#lanes.get(queue)
    if (lane === undefined) {
      lane = { queue, number: this.#highest, underWay: 0, waiting: [] }
      this.#lanes.set(queue, lane)
    }
    const parcels = lane.waiting
    return new Promise((settled) => {
      parcels.push({ pack, settled })
      this.#flush(lane)
    })
  }

  #flush(lane: Lane): void {
    while (lane.waiting.length > 0 && lane.underWay < maximumCallsUnderWay) {
      const parcels = takeTogether(lane.waiting)
      lane.underWay += 1
      this.#underWay += 1
      void this.#ship(lane, parcels).finally(() => {
        lane.underWay -= 1
        this.#underWay -= 1
        if (lane.waiting.length > 0) this.#flush(lane)
        else if (lane.underWay === 0 && this.#lanes.size > maximumLanes) this.#forget(lane)
        if (this.#underWay === 0) for (const resolve of this.#idle.splice(0)) resolve()
      })
    }
  }

  /** Its queue may have been one of the many to which answers go. No number is used twice. */
  #forget(lane: Lane): void {
    this.#lanes.delete(lane.queue)
    this.#highest = Math.max(this.#highest, lane.number)
  }

  async #ship(lane: Lane, parcels: readonly Parcel[]): Promise<void> {
    lane.number += 1
    const words: Argument[] = [this.#driver, String(lane.number), '0']
    let total = 0
    for (const { pack } of parcels) {
      words.push(pack.bytes)
      total += pack.count
    }
    let outcomes: readonly Outcome[] | undefined
    let failure: Outcome | undefined
    try {
      const reply = await this.#caller.call({
        name: 'publish_packed',
        key: this.#keys.queue(lane.queue),
        words,
        numbered: true,
        patient: true,
        confirm: true,
        doing: `publish to ${lane.queue}`,
      })
      outcomes = this.#read(lane.queue, reply as readonly Reply[], total)
    } catch (error) {
      failure = { type: 'failed', error: error as Error }
    }
    let from = 0
    for (const { pack, settled } of parcels) {
      const { count } = pack
      if (outcomes === undefined) settled(times(count, failure as Outcome))
      else settled(parcels.length === 1 ? outcomes : outcomes.slice(from, from + count))
      from += count
    }
  }

  #read(queue: string, reply: readonly Reply[], count: number): readonly Outcome[] {
    const verdict = String(reply[0])
    if (verdict === 'missing') return times(count, missing)
    if (verdict === 'out') this.#onOut(queue)
    if (reply.length === 1) return times(count, stored)
    return reply.slice(1).map((each) => outcomeOf(String(each as Buffer)))
  }
}

/** What goes to one queue. */
interface Lane {
  readonly queue: string
  /** Of its last request. */
  number: number
  underWay: number
  readonly waiting: Parcel[]
}

function times(count: number, outcome: Outcome): readonly Outcome[] {
  return Array.from({ length: count }, () => outcome)
}

function outcomeOf(text: string): Outcome {
  if (text === 's') return stored
  if (text === 'f') return full
  return { type: 'duplicate', messageId: text.slice(1) }
}

function takeTogether(waiting: Parcel[]): Parcel[] {
  let count = 0
  let messages = 0
  let bytes = 0
  for (const parcel of waiting) {
    messages += parcel.pack.count
    bytes += parcel.pack.bytes.length
    if (count > 0 && (messages > maximumPackMessages || bytes > maximumPackBytes)) break
    count += 1
  }
  return waiting.splice(0, count)
}
