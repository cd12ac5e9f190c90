/**
 * Asks for every queue of a sequence what it holds, which is also the barrier: a queue answers when it has done all that came
 * before. Exclusive queues are asked for on the connection that owns them, the others on one that does nothing else.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Sent } from '../raw-client.ts'
import { barrierChannel } from './lane.ts'
import type { Lane, Link } from './lane.ts'
import type { ConnectionIndex } from './step.ts'

type Owner = ConnectionIndex | 'nobody'

export class QueueWatch {
  readonly #lane: Lane
  readonly #patience: number
  readonly #quorum: boolean
  readonly #queues = new Map<string, Owner>()
  /** Queues that are not asked for any more: they were not there, or are somebody else's. */
  readonly #gone = new Set<string>()
  /** The flag of the last declaration. */
  #exclusive = false

  /** @param patience by which times are stretched @param quorum whether some of them are quorum queues */
  constructor(lane: Lane, patience: number, quorum: boolean) {
    this.#lane = lane
    this.#patience = patience
    this.#quorum = quorum
  }

  /** A declaration was sent. */
  declared(method: Sent<'queue.declare'>, connection: ConnectionIndex): void {
    const { queue = '', exclusive = false, passive = false, nowait = false } = method
    this.#exclusive = exclusive && !passive
    if (passive) return
    if (nowait && queue !== '') this.#add(queue, exclusive ? connection : 'nobody')
  }

  /** A declare-ok came. */
  exists(name: string, connection: ConnectionIndex): void {
    this.#add(name, this.#exclusive ? connection : 'nobody')
  }

  /** Its exclusive queues should be gone: anybody may ask. */
  connectionEnded(connection: ConnectionIndex): void {
    for (const [name, owner] of this.#queues) if (owner === connection) this.#queues.set(name, 'nobody')
  }

  /** What each queue holds. One that is not there is told once. */
  async ask(): Promise<Record<string, string>> {
    const answers: Record<string, string> = {}
    if (this.#quorum) await this.#lane.passQuorumQueues()
    for (const owner of ['nobody', 0, 1] as const) {
      const names = [...this.#queues].filter(([, who]) => who === owner).map(([name]) => name)
      if (names.length > 0) await this.#askThrough(await this.#link(owner), names, answers)
    }
    return answers
  }

  /** Leaves nothing behind. */
  async deleteAll(): Promise<void> {
    const byLink = new Map<Link, string[]>()
    for (const [name, owner] of this.#queues) {
      const link = await this.#link(owner)
      const names = byLink.get(link)
      if (names === undefined) byLink.set(link, [name])
      else names.push(name)
    }
    // A link at a time: nothing may be sent on a channel whose close was answered meanwhile.
    for (const [link, names] of byLink) {
      for (const queue of names)
        link.client.send(barrierChannel, { type: 'queue.delete', queue, nowait: true })
      if (!(await link.roundTrip(barrierChannel))) await reopen(link)
      link.takeNews()
    }
  }

  #add(name: string, owner: Owner): void {
    this.#gone.delete(name)
    if (!this.#queues.has(name) || owner !== 'nobody') this.#queues.set(name, owner)
  }

  async #link(owner: Owner): Promise<Link> {
    return owner === 'nobody' ? this.#lane.observer() : this.#lane.link(owner)
  }

  async #askThrough(link: Link, names: string[], answers: Record<string, string>): Promise<void> {
    let left = names.filter((name) => !this.#gone.has(name))
    let retries = 0
    while (left.length > 0) {
      for (const queue of left)
        link.client.send(barrierChannel, { type: 'queue.declare', queue, passive: true })
      const asked = left
      left = []
      for (const [index, name] of asked.entries()) {
        const answer = await link.client.next(barrierChannel, 'queue.declare-ok', 'channel.close')
        if (answer.type === 'queue.declare-ok') {
          answers[name] = `${answer.messageCount} ready, ${answer.consumerCount} consumers`
          continue
        }
        await reopen(link)
        const code = answer.type === 'channel.close' ? answer.replyCode : 0
        // An exclusive queue goes a moment after its connection.
        const again = code === 405 && (retries += 1) < 10 * this.#patience
        if (again) await delay(10)
        else answers[name] = String(code)
        if (code === 405 && !again) this.#gone.add(name)
        if (code === 404) this.#gone.add(name)
        left = asked.slice(again ? index : index + 1)
        break
      }
    }
  }
}

async function reopen(link: Link): Promise<void> {
  await link.client.call(barrierChannel, { type: 'channel.open' }, 'channel.open-ok')
}
