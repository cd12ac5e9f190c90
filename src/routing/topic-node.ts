/** A node of a topic exchange's trie: what the words from the root to it have in common. The walk is in topic.ts. */
import { assert } from '../std/assert.ts'
import type { Binding } from './binding.ts'
import { Word } from './vocabulary.ts'

/** One word, whichever. */
export const star = new Word('*')

/** Any number of words. */
export const hash = new Word('#')

/** Fields in the order of how often a walk reads them: the first eight or so share a line of the processor's cache. */
export class TopicNode<Destination> {
  /** The last set it was in. */
  step: number
  readonly takesAnyWords: boolean
  /** Most nodes have one literal child, which needs no map of its own. */
  onlyWord: Word | undefined
  onlyChild: TopicNode<Destination> | undefined
  children: Map<Word, TopicNode<Destination>> | undefined
  star: TopicNode<Destination> | undefined
  hash: TopicNode<Destination> | undefined
  /** Those whose key ends here. */
  bindings: Binding<Destination>[] | undefined
  readonly parent: TopicNode<Destination> | undefined
  readonly word: Word | undefined

  /** @param parent undefined for the root, which has no word either */
  constructor(parent: TopicNode<Destination> | undefined, word: Word | undefined) {
    this.step = 0
    this.takesAnyWords = word === hash
    this.onlyWord = undefined
    this.onlyChild = undefined
    this.children = undefined
    this.star = undefined
    this.hash = undefined
    this.bindings = undefined
    this.parent = parent
    this.word = word
  }

  /** The child of a word that is no wildcard. */
  literal(word: Word): TopicNode<Destination> | undefined {
    if (this.onlyWord === word) return this.onlyChild
    return this.children === undefined ? undefined : this.children.get(word)
  }

  child(word: Word): TopicNode<Destination> | undefined {
    if (word === star) return this.star
    return word === hash ? this.hash : this.literal(word)
  }

  /** @param word of which there is no child yet */
  addChild(word: Word): TopicNode<Destination> {
    const child = new TopicNode<Destination>(this, word)
    if (word === star) {
      this.star = child
    } else if (word === hash) {
      this.hash = child
    } else if (this.children !== undefined) {
      this.children.set(word, child)
    } else if (this.onlyWord === undefined || this.onlyChild === undefined) {
      this.onlyWord = word
      this.onlyChild = child
    } else {
      this.children = new Map([
        [this.onlyWord, this.onlyChild],
        [word, child],
      ])
      this.onlyWord = undefined
      this.onlyChild = undefined
    }
    return child
  }

  removeChild(word: Word): void {
    if (word === star) {
      this.star = undefined
    } else if (word === hash) {
      this.hash = undefined
    } else if (this.onlyWord === word) {
      this.onlyWord = undefined
      this.onlyChild = undefined
    } else {
      this.children?.delete(word)
      if (this.children?.size === 0) this.children = undefined
    }
  }

  /** Whether one more word may lead further; a `#` below leads on by itself. */
  get leadsOn(): boolean {
    return this.onlyWord !== undefined || this.star !== undefined || this.children !== undefined
  }

  get isEmpty(): boolean {
    return this.bindings === undefined && this.hash === undefined && !this.leadsOn
  }

  /** Gives the number of bindings at and below this node. */
  invariants(): number {
    assert(this.parent === undefined || !this.isEmpty, 'no node of a trie is kept without use')
    assert(this.bindings?.length !== 0, 'no empty list of bindings is kept')
    assert((this.onlyWord === undefined) === (this.onlyChild === undefined), 'an only child has its word')
    assert(this.onlyWord === undefined || this.children === undefined, 'an only child is the only one')
    const bindings = this.bindings ?? []
    for (const [slot, binding] of bindings.entries()) {
      assert(binding.slot === slot, 'a binding stands in its slot')
    }
    let count = bindings.length
    for (const child of [this.star, this.hash, this.onlyChild, ...(this.children?.values() ?? [])]) {
      if (child === undefined) continue
      const { parent, word } = child
      assert(parent === this && word !== undefined, 'a node below another knows it')
      assert(this.child(word) === child, 'a node is found by its word')
      count += child.invariants()
    }
    return count
  }
}
