/**
 * One timer for all connections: each stands in the slot of the tick in which it wants to be looked at. Ten thousand
 * connections cost one waking a tick at most, ticks in which nothing is due cost none (benchmark P17), and setting a
 * connection's time again costs nothing.
 */
export interface WheelTask {
  /** Where it stands, for the wheel: -1 for nowhere. */
  slot: number
  /** Looks at what is due; gives the time at which it wants to be looked at next, Infinity for never. */
  due(nowMs: number): number
}

const slotCount = 512

/** A clock that jumps ahead is noticed within that time. */
const longestWaitMs = 5_000

export class TimerWheel {
  readonly #tickMs: number
  readonly #nowMs: () => number
  readonly #slots: (Map<WheelTask, number> | undefined)[]
  /** The tasks that are being looked at, and were not yet. */
  #looking: Map<WheelTask, number> | undefined
  #size = 0
  /** The last one that was looked at. */
  #tick: number
  #timer: NodeJS.Timeout | undefined
  /** The tick that the timer waits for; Infinity where there is none. */
  #awaitedTick = Infinity

  /** @param tickMs how exact it is: a task is looked at up to that much too early */
  constructor(tickMs: number, nowMs: () => number) {
    this.#tickMs = tickMs
    this.#nowMs = nowMs
    this.#slots = Array.from({ length: slotCount }, () => undefined)
    this.#tick = Math.floor(nowMs() / tickMs)
  }

  /** Tasks that stand in it. */
  get size(): number {
    return this.#size
  }

  /** A task stands in it once: added again, it stands at the new time. */
  add(task: WheelTask, atMs: number): void {
    this.remove(task)
    if (atMs === Infinity) return
    if (this.#size === 0 && this.#looking === undefined) this.#tick = this.#tickNow()
    const tick = Math.max(this.#tick + 1, Math.floor(atMs / this.#tickMs))
    task.slot = tick % slotCount
    const slot = (this.#slots[task.slot] ??= new Map())
    slot.set(task, tick)
    this.#size += 1
    if (tick < this.#awaitedTick) this.#await(tick)
  }

  remove(task: WheelTask): void {
    if (task.slot === -1) return
    if (this.#slots[task.slot]?.delete(task) !== true) this.#looking?.delete(task)
    this.#size -= 1
    task.slot = -1
  }

  /** Looks at what is due by now. Also for tests. */
  turn(nowMs: number): void {
    const now = Math.floor(nowMs / this.#tickMs)
    // After a long stop of the process each slot is looked at once.
    if (now - this.#tick > slotCount) this.#tick = now - slotCount
    while (this.#tick < now) {
      this.#tick += 1
      this.#look(this.#tick, nowMs)
    }
    if (this.#size === 0) this.close()
    else this.#await(this.#nextTick())
  }

  /** Stops the timer; `add` starts it again. */
  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#awaitedTick = Infinity
  }

  #tickNow(): number {
    return Math.floor(this.#nowMs() / this.#tickMs)
  }

  #await(tick: number): void {
    clearTimeout(this.#timer)
    this.#awaitedTick = tick
    const delayMs = Math.min(tick * this.#tickMs - this.#nowMs(), longestWaitMs)
    this.#timer = setTimeout(() => this.turn(this.#nowMs()), Math.max(1, delayMs))
    this.#timer.unref()
  }

  /** The first one after the last with somebody in its slot. */
  #nextTick(): number {
    for (let tick = this.#tick + 1; tick <= this.#tick + slotCount; tick += 1) {
      if ((this.#slots[tick % slotCount]?.size ?? 0) > 0) return tick
    }
    return this.#tick + slotCount
  }

  #look(tick: number, nowMs: number): void {
    const index = tick % slotCount
    const slot = this.#slots[index]
    if (slot === undefined) return
    this.#slots[index] = undefined
    this.#looking = slot
    for (const [task, at] of slot) {
      slot.delete(task)
      task.slot = -1
      this.#size -= 1
      // Further ahead than the wheel goes round.
      this.add(task, at > tick ? at * this.#tickMs : task.due(nowMs))
    }
    this.#looking = undefined
  }
}
