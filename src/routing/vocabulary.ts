/**
 * The words of a topic exchange's bindings, one object each, so that a word of a message's key is looked up by its text
 * once and from then on compared by identity (benchmark: topic, 100,000 bindings).
 */
import { assert } from '../std/assert.ts'

export class Word {
  readonly text: string
  /** How many nodes of the trie stand for it. */
  uses: number

  constructor(text: string) {
    this.text = text
    this.uses = 0
  }
}

export class Vocabulary {
  readonly #words = new Map<string, Word>()

  get size(): number {
    return this.#words.size
  }

  /** The word, or undefined where no binding has it. */
  find(text: string): Word | undefined {
    return this.#words.get(text)
  }

  /** The word, used once more. */
  take(text: string): Word {
    let word = this.#words.get(text)
    if (word === undefined) {
      word = new Word(text)
      this.#words.set(text, word)
    }
    word.uses += 1
    return word
  }

  /** Used once less, and forgotten after its last use. */
  release(word: Word): void {
    assert(word.uses > 0, 'a word that is released was taken')
    word.uses -= 1
    if (word.uses === 0) this.#words.delete(word.text)
  }
}
