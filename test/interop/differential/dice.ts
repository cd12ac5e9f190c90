/** Seeded choices for the generator. */
import { Random } from '../../std/random.ts'

export class Dice {
  readonly #random: Random

  constructor(seed: number) {
    this.#random = new Random(Math.imul(seed, 0x9e3779b1))
    this.#random.next()
  }

  chance(probability: number): boolean {
    return this.#random.next() < probability
  }

  /** An integer from 0 up to and without `bound`. */
  below(bound: number): number {
    return this.#random.below(bound)
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.#random.below(choices.length)] as T
  }

  /** A key, as often as its weight says. */
  weighted<Name extends string>(weights: Readonly<Partial<Record<Name, number>>>): Name {
    const entries = Object.entries(weights) as [Name, number][]
    let left = this.#random.next() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [name, weight] of entries) if ((left -= weight) < 0) return name
    return entries[0]![0]
  }
}
