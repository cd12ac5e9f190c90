/**
 * Regular expressions whose matching takes a bounded time, whatever the expression and the text: for expressions that come
 * from outside. All alternatives are followed side by side instead of one after another (Thompson's method), so that
 * there is nothing to go back to: the time is that of expression times text at most, and `maximumSteps` where
 * lookaheads stand in each other.
 *
 * The syntax is that of Perl as far as it can be matched so: no backreferences, lookbehinds or possessive quantifiers.
 */
import { parseExpression } from './regular-expression-parser.ts'
import { compileProgram } from './regular-expression-program.ts'
import type { Instruction, Program } from './regular-expression-program.ts'

/** Steps that one match may take; what takes more counts as not found, as beyond PCRE's match limit. */
const maximumSteps = 4_000_000

export class RegularExpression {
  readonly source: string
  readonly #program: Program

  /** Throws SyntaxError, in words that can be shown. */
  constructor(source: string) {
    this.source = source
    this.#program = compileProgram(parseExpression(source))
  }

  /** Whether it is found anywhere in the text. */
  test(text: string): boolean {
    return new Search(text).find(this.#program)
  }
}

/** One search through one text. */
class Search {
  readonly #text: readonly number[]
  /** What lookaheads found, by program and position: 1 yes, 2 no. */
  readonly #looks: Map<Program, Uint8Array>
  #stepsLeft: number

  constructor(text: string) {
    this.#text = Array.from(text, (character) => character.codePointAt(0)!)
    this.#looks = new Map()
    this.#stepsLeft = maximumSteps
  }

  find(program: Program): boolean {
    return this.#run(program, 0, true)
  }

  /** @param anywhere it may begin at any position from there on, not there alone */
  #run(program: Program, from: number, anywhere: boolean): boolean {
    const text = this.#text
    const seenAt = new Int32Array(program.length).fill(-1)
    let current: number[] = []
    for (let position = from; position <= text.length; position += 1) {
      const begins = anywhere || position === from
      if (begins && this.#enter(program, 0, position, seenAt, current)) return true
      if (current.length === 0 && !anywhere) return false
      if (position === text.length) return false
      const next: number[] = []
      const codePoint = text[position]!
      for (const at of current) {
        const instruction = program[at]!
        if (instruction.type !== 'set' || !instruction.has(codePoint)) continue
        if (this.#enter(program, at + 1, position + 1, seenAt, next)) return true
      }
      current = next
      if (this.#stepsLeft <= 0) return false
    }
    return false
  }

  /** Follows everything that takes no character, adding the rest to `threads`. True when the end is reached. */
  #enter(program: Program, start: number, position: number, seenAt: Int32Array, threads: number[]): boolean {
    const waiting = [start]
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      if (seenAt[at] === position) continue
      seenAt[at] = position
      this.#stepsLeft -= 1
      const instruction = program[at]!
      switch (instruction.type) {
        case 'found':
          return true
        case 'set':
          threads.push(at)
          break
        case 'split':
          waiting.push(at + instruction.first, at + instruction.second)
          break
        case 'edge':
          if (this.#isEdge(instruction, position)) waiting.push(at + 1)
          break
        case 'look':
          if (this.#look(instruction.program, position) !== instruction.negative) waiting.push(at + 1)
          break
      }
    }
    return false
  }

  #look(program: Program, position: number): boolean {
    let known = this.#looks.get(program)
    if (known === undefined) this.#looks.set(program, (known = new Uint8Array(this.#text.length + 1)))
    const before = known[position]
    if (before !== 0) return before === 1
    const found = this.#stepsLeft > 0 && this.#run(program, position, false)
    known[position] = found ? 1 : 2
    return found
  }

  #isEdge({ edge }: Extract<Instruction, { type: 'edge' }>, position: number): boolean {
    const text = this.#text
    const length = text.length
    switch (edge) {
      case 'start':
        return position === 0
      case 'end':
        return position === length
      case 'finalLine':
        return position === length || (position === length - 1 && text[position] === newline)
      case 'lineStart':
        return position === 0 || text[position - 1] === newline
      case 'lineEnd':
        return position === length || text[position] === newline
      case 'word':
      case 'notWord': {
        const before = position > 0 && isWord(text[position - 1]!)
        const after = position < length && isWord(text[position]!)
        return (before !== after) === (edge === 'word')
      }
    }
  }
}

const newline = 10

function isWord(codePoint: number): boolean {
  return (
    (codePoint >= 97 && codePoint <= 122) ||
    (codePoint >= 65 && codePoint <= 90) ||
    (codePoint >= 48 && codePoint <= 57) ||
    codePoint === 95
  )
}
