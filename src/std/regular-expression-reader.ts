/** Reads the source of a regular expression from left to right. Part of regular-expression.ts. */
export class Reader {
  readonly #source: string
  #position = 0

  constructor(source: string) {
    this.#source = source
  }

  get atEnd(): boolean {
    return this.#position >= this.#source.length
  }

  sees(text: string): boolean {
    return this.#source.startsWith(text, this.#position)
  }

  takes(text: string): boolean {
    if (!this.sees(text)) return false
    this.#position += text.length
    return true
  }

  /** Takes what a sticky expression finds here. It is one of ours: without repetition that could go back. */
  takeMatch(expression: RegExp): RegExpExecArray | undefined {
    expression.lastIndex = this.#position
    const match = expression.exec(this.#source)
    if (match === null) return undefined
    this.#position += match[0].length
    return match
  }

  /** The next character, of one or two units. */
  next(): string {
    const codePoint = this.#source.codePointAt(this.#position)
    if (codePoint === undefined) throw this.wrong('it ends too early')
    const character = String.fromCodePoint(codePoint)
    this.#position += character.length
    return character
  }

  wrong(why: string): SyntaxError {
    return new SyntaxError(`${why}, at offset ${this.#position}`)
  }
}
