import { RegularExpression } from '../std/regular-expression.ts'
import { MillraceError } from '../model/errors.ts'

/**
 * A regular expression for names, compiled once, that remembers its answers: a broker asks about the same names over and
 * over. Policies come from users who must not be able to stop the broker: matching takes a bounded time.
 */
export class NamePattern {
  readonly source: string
  readonly #expression: RegularExpression
  readonly #answers: Map<string, boolean>

  /** Throws INVALID_ARGUMENT. @param source found anywhere in a name; '' is found in '' alone, as in RabbitMQ's permissions */
  constructor(source: string) {
    this.source = source
    this.#expression = compile(source === '' ? '^$' : source)
    this.#answers = new Map()
  }

  matches(name: string): boolean {
    let answer = this.#answers.get(name)
    if (answer !== undefined) return answer
    answer = this.#expression.test(name)
    if (this.#answers.size >= maximumAnswers) this.#answers.clear()
    this.#answers.set(name, answer)
    return answer
  }
}

const maximumAnswers = 4096

function compile(source: string): RegularExpression {
  try {
    return new RegularExpression(source)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new MillraceError('INVALID_ARGUMENT', why, { cause: error })
  }
}
