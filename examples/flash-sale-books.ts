/** The books of a flash sale: what is sold, to whom, and whether the sums come out. */
import type { Board } from './flash-sale-board.ts'

export class Books {
  readonly figures
  /** What became of each buyer. A message may come twice (that is "at least once"), so each step looks here first. */
  readonly #buyers = new Map<number, 'reserved' | 'paid' | 'expired' | 'turned away'>()
  #mostOut = 0

  constructor({ buyers, items }: { buyers: number; items: number }) {
    this.figures = {
      buyers,
      items,
      arrived: 0,
      stock: items,
      reserved: 0,
      paid: 0,
      expired: 0,
      turnedAway: 0,
    }
  }

  /** Buyers whose fate is known. */
  get answered(): number {
    return this.figures.paid + this.figures.expired + this.figures.turnedAway
  }

  /** Who asks twice is told the same. */
  reserve(buyer: number): 'reserved' | 'sold out' {
    const known = this.#buyers.get(buyer)
    if (known !== undefined) return known === 'turned away' ? 'sold out' : 'reserved'
    const { figures } = this
    figures.arrived += 1
    if (figures.stock === 0) {
      this.#buyers.set(buyer, 'turned away')
      figures.turnedAway += 1
      return 'sold out'
    }
    this.#buyers.set(buyer, 'reserved')
    figures.stock -= 1
    figures.reserved += 1
    this.#mostOut = Math.max(this.#mostOut, figures.reserved + figures.paid)
    return 'reserved'
  }

  /** False: too late, the item is not theirs any more. */
  pay(buyer: number): boolean {
    return this.#settle(buyer, 'paid')
  }

  /** False: it is paid. */
  expire(buyer: number): boolean {
    const expired = this.#settle(buyer, 'expired')
    if (expired) this.figures.stock += 1
    return expired
  }

  /** The sums at the end. */
  check(board: Board): void {
    const { buyers, items, stock, paid, expired, turnedAway } = this.figures
    board.check(
      this.#mostOut <= items,
      `nothing oversold: at most ${number(this.#mostOut)} of ${number(items)} items were out at once`,
    )
    board.check(
      paid + stock === items,
      `${number(paid)} paid + ${number(stock)} left over = ${number(items)} items`,
    )
    board.check(
      this.answered === buyers && this.#buyers.size === buyers,
      `${number(paid)} paid + ${number(expired)} not in time + ${number(turnedAway)} turned away = ` +
        `${number(buyers)} buyers, each answered once`,
    )
  }

  #settle(buyer: number, outcome: 'paid' | 'expired'): boolean {
    if (this.#buyers.get(buyer) !== 'reserved') return false
    this.#buyers.set(buyer, outcome)
    this.figures.reserved -= 1
    this.figures[outcome] += 1
    return true
  }
}

function number(value: number): string {
  return value.toLocaleString('en')
}
