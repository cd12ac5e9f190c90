/**
 * A topic exchange: keys are words between dots, and in a binding's key `*` stands for one word and `#` for any number of
 * them, none included (AMQP 0-9-1 section 3.1.3.3). As in RabbitMQ the empty key has no words, and `a..b` has an empty one.
 *
 * Keys without wildcards, most of them in practice, are looked up as a whole. The others form a trie, walked as a
 * nondeterministic automaton: after each word of the message's key, the set of nodes that the words so far can lead to.
 *
 * ```text
 *   a.*.c          root -a-> . -*-> . -c-> (binding)
 *   a.#            root -a-> . -#-> (binding)      a # node stays in the set, whatever the next word,
 *                                                  and enters it together with its parent: # may be no word at all
 * ```
 *
 * A node enters a set once, so that a key costs at most its words times the nodes, however many `#` there are.
 */
import { assert } from '../std/assert.ts'
import { appendBinding, removeBinding } from './binding.ts'
import type { Binding } from './binding.ts'
import { KeyMap } from './key-map.ts'
import type { Matcher, RoutedMessage, Routes } from './matcher.ts'

export class TopicMatcher<Destination> implements Matcher<Destination> {
  readonly #plain = new KeyMap<Destination>()
  readonly #root = new TopicNode<Destination>(undefined, '')
  /** Number of the set being made; a node that has it is in there. */
  #step = 0
  /** The nodes that the words so far lead to, and those that one more word does. Of each, the first so many are meant. */
  #current: TopicNode<Destination>[] = []
  #next: TopicNode<Destination>[] = []
  #nextCount = 0

  add(binding: Binding<Destination>): void {
    if (!hasWildcard(binding.routingKey)) {
      this.#plain.add(binding)
      return
    }
    let node = this.#root
    for (const word of binding.routingKey.split('.')) node = node.makeChild(word)
    appendBinding(node.bindings, binding)
  }

  remove(binding: Binding<Destination>): void {
    if (!hasWildcard(binding.routingKey)) {
      this.#plain.remove(binding)
      return
    }
    let node = this.#root
    for (const word of binding.routingKey.split('.')) {
      const child = node.child(word)
      assert(child !== undefined, 'a binding that is removed is in the trie')
      node = child
    }
    removeBinding(node.bindings, binding)
    prune(node)
    // They may hold what was pruned.
    this.#current = []
    this.#next = []
  }

  match(routingKey: string, _message: RoutedMessage, routes: Routes<Destination>): void {
    this.#plain.match(routingKey, routes)
    if (this.#root.isEmpty()) return
    let count = this.#begin()
    let start = routingKey === '' ? 1 : 0
    while (count > 0 && start <= routingKey.length) {
      const dot = routingKey.indexOf('.', start)
      const end = dot < 0 ? routingKey.length : dot
      count = this.#advance(routingKey.substring(start, end), count)
      start = end + 1
    }
    const current = this.#current
    for (let index = 0; index < count; index += 1) {
      const { bindings } = current[index]!
      for (let slot = 0; slot < bindings.length; slot += 1) routes.add(bindings[slot]!.destination)
    }
  }

  invariants(): number {
    return this.#plain.invariants() + this.#root.invariants()
  }

  /** The set before the first word. Gives its size. */
  #begin(): number {
    this.#step += 1
    this.#nextCount = 0
    this.#enter(this.#root)
    return this.#swap()
  }

  /** From the set before a word, of so many nodes, to the one after it. Gives its size. */
  #advance(word: string, count: number): number {
    const current = this.#current
    this.#step += 1
    this.#nextCount = 0
    for (let index = 0; index < count; index += 1) {
      const node = current[index]!
      if (node.takesAnyWords) this.#enter(node)
      const child = node.words?.get(word)
      if (child !== undefined) this.#enter(child)
      if (node.star !== undefined) this.#enter(node.star)
    }
    return this.#swap()
  }

  #enter(node: TopicNode<Destination>): void {
    if (node.step === this.#step) return
    node.step = this.#step
    this.#next[this.#nextCount] = node
    this.#nextCount += 1
    if (node.hash !== undefined) this.#enter(node.hash)
  }

  #swap(): number {
    const made = this.#next
    this.#next = this.#current
    this.#current = made
    return this.#nextCount
  }
}

class TopicNode<Destination> {
  readonly parent: TopicNode<Destination> | undefined
  readonly word: string
  readonly takesAnyWords: boolean
  words: Map<string, TopicNode<Destination>> | undefined
  star: TopicNode<Destination> | undefined
  hash: TopicNode<Destination> | undefined
  /** Those whose key ends here. */
  readonly bindings: Binding<Destination>[]
  /** The last set it was in. */
  step: number

  constructor(parent: TopicNode<Destination> | undefined, word: string) {
    this.parent = parent
    this.word = word
    this.takesAnyWords = parent !== undefined && word === '#'
    this.words = undefined
    this.star = undefined
    this.hash = undefined
    this.bindings = []
    this.step = 0
  }

  child(word: string): TopicNode<Destination> | undefined {
    if (word === '*') return this.star
    if (word === '#') return this.hash
    return this.words?.get(word)
  }

  makeChild(word: string): TopicNode<Destination> {
    const known = this.child(word)
    if (known !== undefined) return known
    const child = new TopicNode<Destination>(this, word)
    if (word === '*') this.star = child
    else if (word === '#') this.hash = child
    else (this.words ??= new Map()).set(word, child)
    return child
  }

  removeChild(word: string): void {
    if (word === '*') this.star = undefined
    else if (word === '#') this.hash = undefined
    else this.words?.delete(word)
    if (this.words?.size === 0) this.words = undefined
  }

  isEmpty(): boolean {
    return (
      this.bindings.length === 0 &&
      this.words === undefined &&
      this.star === undefined &&
      this.hash === undefined
    )
  }

  /** Gives the number of bindings at and below this node. */
  invariants(): number {
    assert(this.parent === undefined || !this.isEmpty(), 'no node of a trie is kept without use')
    for (const [slot, binding] of this.bindings.entries()) {
      assert(binding.slot === slot, 'a binding stands in its slot')
    }
    let count = this.bindings.length
    for (const child of [this.star, this.hash, ...(this.words?.values() ?? [])]) {
      if (child === undefined) continue
      assert(
        child.parent === this && this.child(child.word) === child,
        'a node stands under its parent, by its word',
      )
      count += child.invariants()
    }
    return count
  }
}

/** Removes a node that is of no more use, and then those above it that were only for it. */
function prune<Destination>(leaf: TopicNode<Destination>): void {
  let node = leaf
  while (node.parent !== undefined && node.isEmpty()) {
    node.parent.removeChild(node.word)
    node = node.parent
  }
}

/** Whether one of the words is a wildcard. A star or hash within a longer word is an ordinary character. */
function hasWildcard(routingKey: string): boolean {
  return /(?:^|\.)[*#](?:\.|$)/.test(routingKey)
}
