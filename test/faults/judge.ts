/**
 * What the killed programs were promised, line by line in the order in which they learned of it, and whether a promise was
 * broken. An id is that of one copy: `queue/message`.
 *
 *   S id     a send resolved
 *   K key id a send with this de-duplication key resolved, and told this id
 *   D id n   a delivery came, attempt n
 *   T id     an ack or a dead-lettering was asked for
 *   A id n   an ack of attempt n resolved true; without n, of any attempt
 *   R id n   a retry after attempt n resolved true
 *   X id n   a dead-lettering resolved true
 *   drain    from here on all is taken, without faults
 *   P id     found in the dead-letter queue, at the end
 *
 * A process that was frozen may say late that it was handed an attempt from which others went on meanwhile. That is no
 * broken promise, but told apart from what is.
 */
export interface Verdict {
  readonly sent: number
  /** Acknowledgements and dead-letterings that resolved true. */
  readonly acked: number
  readonly deliveries: number
  /** Deliveries of an attempt that was behind already. */
  readonly late: number
  readonly broken: readonly string[]
}

/** What is said last of a message of which a drain may still have to tell. */
export const gone = 'gone'

export interface JudgeOptions {
  /** Whether the end told every dead letter with a P line. */
  readonly knowsTheDead?: boolean
}

export function judge(lines: readonly string[], options: JudgeOptions = {}): Verdict {
  const ledger = new Ledger()
  for (const line of lines) {
    const [what = '', id = '', value = ''] = line.split(' ')
    ledger.note(what, id, value)
  }
  return ledger.verdict(options.knowsTheDead ?? false)
}

class Ledger {
  readonly #sent = new Set<string>()
  /** The attempt that was the last. */
  readonly #ended = new Map<string, number>()
  readonly #tried = new Set<string>()
  readonly #drained = new Set<string>()
  readonly #given = new Set<string>()
  readonly #dead = new Set<string>()
  readonly #keys = new Map<string, string>()
  /** The attempts that are behind it, for sure. */
  readonly #retried = new Map<string, number>()
  readonly #broken: string[] = []
  #deliveries = 0
  #late = 0
  #isDraining = false

  note(what: string, id: string, value: string): void {
    if (what === 'S') this.#sent.add(id)
    else if (what === 'T') this.#tried.add(id)
    else if (what === 'R') this.#retried.set(id, Number(value))
    else if (what === 'drain') this.#isDraining = true
    else if (what === 'D') this.#delivered(id, Number(value))
    else if (what === 'A' || what === 'X') this.#end(id, what, Number(value))
    else if (what === 'K') this.#deduplicated(id, value)
    else if (what === 'P') this.#found(id)
  }

  verdict(knowsTheDead: boolean): Verdict {
    for (const id of this.#sent) {
      if (this.#ended.has(id) || this.#tried.has(id) || this.#drained.has(id)) continue
      this.#broken.push(`${id} was confirmed, its end was never asked for, and it is ${gone}`)
    }
    if (knowsTheDead) {
      for (const id of this.#given) {
        if (!this.#dead.has(id)) this.#broken.push(`${id} was dead-lettered, and is ${gone}`)
      }
    }
    return {
      sent: this.#sent.size,
      acked: this.#ended.size,
      deliveries: this.#deliveries,
      late: this.#late,
      broken: this.#broken,
    }
  }

  #delivered(id: string, attempt: number): void {
    this.#deliveries += 1
    if (this.#isDraining) this.#drained.add(id)
    const last = this.#ended.get(id)
    const behind = this.#retried.get(id) ?? 0
    if (attempt < Math.max(last ?? 0, behind)) this.#late += 1
    else if (last !== undefined) this.#broken.push(`${id} was delivered again after its end was synced`)
    else if (attempt === behind)
      this.#broken.push(`${id} was delivered again as attempt ${attempt}, which was over`)
  }

  #end(id: string, what: 'A' | 'X', attempt: number): void {
    if (this.#ended.has(id)) this.#broken.push(`${id} was ended twice`)
    this.#ended.set(id, attempt)
    if (what === 'X') this.#given.add(id)
  }

  #deduplicated(key: string, id: string): void {
    const first = this.#keys.get(key)
    if (first !== undefined && first !== id)
      this.#broken.push(`${id} was stored beside ${first}, of one key ${key}`)
    this.#keys.set(key, id)
  }

  #found(id: string): void {
    if (this.#dead.has(id)) this.#broken.push(`${id} is among the dead twice`)
    this.#dead.add(id)
  }
}
