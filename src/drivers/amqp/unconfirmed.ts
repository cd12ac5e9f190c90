/**
 * What was published on a channel and is not confirmed yet, by delivery tag: parallel arrays from the smallest tag on, no
 * object and no promise per message (benchmark P8).
 *
 * The server returns what no queue takes before it confirms it, in the order of publishing, without its tag. So each
 * return belongs to the first message from the last returned one on that has its address and id.
 */
import { assert } from '../../std/assert.ts'
import type { Wire } from './envelope.ts'

/** How the server decided on a message. */
export type Verdict = 'stored' | 'refused' | Return | Error

/** It came back: no queue takes it, or all that do know its key, by a message with this id. */
export type Return = 'returned' | { readonly duplicateOf: string }

export interface Address {
  readonly exchange: string
  readonly routingKey: string
  readonly messageId: string | undefined
}

/** Messages of one call and what became of each; `settled` is told when all are decided. */
export interface Shipment {
  readonly wires: readonly Wire[]
  readonly verdicts: (Verdict | undefined)[]
  undecided: number
  settled: () => void
}

/** Freed slots at the front before the arrays are cut. */
const slack = 1_024

export class Unconfirmed {
  #shipments: (Shipment | undefined)[] = []
  #indexes: number[] = []
  /** The tag of slot 0. Tags count from 1 on each channel. */
  #base = 1
  /** The first slot that may hold something. */
  #head = 0
  #returnedFrom = 1
  #count = 0
  #bytes = 0

  get count(): number {
    return this.#count
  }

  /** Of bodies. */
  get bytes(): number {
    return this.#bytes
  }

  /** The next tag belongs to this message. */
  add(shipment: Shipment, index: number): void {
    this.#shipments.push(shipment)
    this.#indexes.push(index)
    this.#count += 1
    this.#bytes += (shipment.wires[index] as Wire).content.length
  }

  /** The server confirmed or refused. */
  confirm(tag: number, multiple: boolean, verdict: Verdict): void {
    const last = tag - this.#base
    assert(last < this.#shipments.length, 'the server confirms what was published')
    if (!multiple) this.#decide(last, verdict)
    else for (let slot = this.#head; slot <= last; slot += 1) this.#decide(slot, verdict)
    this.#trim()
  }

  /** The message of this address and id came back; its confirm is still to come. */
  returned(address: Address, verdict: Return = 'returned'): void {
    const first = this.#find(address, Math.max(this.#head, this.#returnedFrom - this.#base))
    if (first === undefined) return
    // A duplicate of the very id is the later of two that are under way.
    const isTwin = verdict !== 'returned' && verdict.duplicateOf === address.messageId
    const slot = (isTwin ? this.#find(address, first + 1) : undefined) ?? first
    const shipment = this.#shipments[slot] as Shipment
    shipment.verdicts[this.#indexes[slot] as number] = verdict
    if (slot === first) this.#returnedFrom = this.#base + slot + 1
  }

  /** The first slot from there on of a message with that address and id, of which nothing came back yet. */
  #find(address: Address, from: number): number | undefined {
    for (let slot = from; slot < this.#shipments.length; slot += 1) {
      const shipment = this.#shipments[slot]
      if (shipment === undefined) continue
      const index = this.#indexes[slot] as number
      const wire = shipment.wires[index] as Wire
      if (wire.exchange !== address.exchange || wire.routingKey !== address.routingKey) continue
      if (wire.fields.messageId === address.messageId && shipment.verdicts[index] === undefined) return slot
    }
    return undefined
  }

  /** The channel is gone: each gets the verdict made for it, and tags begin anew. */
  abandon(verdictOf: (wire: Wire) => Verdict): void {
    for (let slot = this.#head; slot < this.#shipments.length; slot += 1) {
      const shipment = this.#shipments[slot]
      if (shipment === undefined) continue
      this.#decide(slot, verdictOf(shipment.wires[this.#indexes[slot] as number] as Wire))
    }
    this.#shipments = []
    this.#indexes = []
    this.#base = 1
    this.#head = 0
    this.#returnedFrom = 1
  }

  invariants(): void {
    const held = this.#shipments.filter((shipment) => shipment !== undefined)
    assert(held.length === this.#count, 'every message that is unconfirmed is counted')
    assert(this.#shipments.length === this.#indexes.length, 'each slot has its index')
  }

  #decide(slot: number, verdict: Verdict): void {
    const shipment = this.#shipments[slot]
    if (shipment === undefined) return
    this.#shipments[slot] = undefined
    const index = this.#indexes[slot] as number
    this.#count -= 1
    this.#bytes -= (shipment.wires[index] as Wire).content.length
    // Returned, and then confirmed: it stays returned.
    shipment.verdicts[index] ??= verdict
    shipment.undecided -= 1
    if (shipment.undecided === 0) shipment.settled()
  }

  #trim(): void {
    while (this.#head < this.#shipments.length && this.#shipments[this.#head] === undefined) this.#head += 1
    if (this.#head < slack || this.#head * 2 < this.#shipments.length) return
    this.#shipments.splice(0, this.#head)
    this.#indexes.splice(0, this.#head)
    this.#base += this.#head
    this.#head = 0
  }
}
