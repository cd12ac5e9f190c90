/**
 * A topic exchange: keys are words between dots, and in a binding's key `*` stands for one word and `#` for any number of
 * them, none included (AMQP 0-9-1 section 3.1.3.3). As in RabbitMQ the empty key has no words, and `a..b` has an empty one.
 *
 * Keys without wildcards, most of them in practice, are looked up as a whole. The others form a trie, walked as a
 * nondeterministic automaton: after each word of the message's key, the set of nodes from which more words may lead on.
 *
 * ```text
 *   a.*.c          root -a-> . -*-> . -c-> (binding)
 *   a.#            root -a-> . -#-> (binding)      a # node is reached together with its parent, for # may be no word,
 *                                                  stays in the set whatever the next word,
 *                                                  and matches at once what ends there: # takes all words to come
 * ```
 *
 * A node is in a set once, so that a key costs at most its words times the nodes, however many `#` there are.
 */
import { assert } from '../std/assert.ts'
import { appendBinding, removeBinding } from './binding.ts'
import type { Binding } from './binding.ts'
import { KeyMap } from './key-map.ts'
import type { Matcher, RoutedMessage, Routes } from './matcher.ts'
import { hash, star, TopicNode } from './topic-node.ts'
import { Vocabulary } from './vocabulary.ts'
import type { Word } from './vocabulary.ts'

export class TopicMatcher<Destination> implements Matcher<Destination> {
  readonly #plain = new KeyMap<Destination>()
  readonly #root = new TopicNode<Destination>(undefined, undefined)
  readonly #vocabulary = new Vocabulary()
  /** Number of the set being made; a node that has it is in there. */
  #step = 0
  /** The set being made: the first so many of these. The other array is that of the set before, to be used again. */
  #next: TopicNode<Destination>[] = []
  #nextCount = 0
  #current: TopicNode<Destination>[] = []

  add(binding: Binding<Destination>): void {
    if (!hasWildcard(binding.routingKey)) {
      this.#plain.add(binding)
      return
    }
    let node = this.#root
    for (const text of binding.routingKey.split('.')) node = this.#childOf(node, text)
    if (node.bindings === undefined) {
      binding.slot = 0
      node.bindings = [binding]
    } else {
      appendBinding(node.bindings, binding)
    }
  }

  remove(binding: Binding<Destination>): void {
    if (!hasWildcard(binding.routingKey)) {
      this.#plain.remove(binding)
      return
    }
    let node = this.#root
    for (const text of binding.routingKey.split('.')) {
      const word = this.#wordOf(text)
      const child = word === undefined ? undefined : node.child(word)
      assert(child !== undefined, 'a binding that is removed is in the trie')
      node = child
    }
    assert(node.bindings !== undefined, 'a binding that is removed is at the end of its key')
    removeBinding(node.bindings, binding)
    if (node.bindings.length === 0) node.bindings = undefined
    this.#prune(node)
    // They may hold what was pruned.
    this.#current = []
    this.#next = []
  }

  match(routingKey: string, _message: RoutedMessage, routes: Routes<Destination>): void {
    this.#plain.match(routingKey, routes)
    if (this.#root.isEmpty) return
    this.#step += 1
    this.#nextCount = 0
    this.#reach(this.#root, routes)
    if (routingKey === '') return
    let start = 0
    for (let dot = routingKey.indexOf('.'); dot >= 0; dot = routingKey.indexOf('.', start)) {
      this.#advance(this.#vocabulary.find(routingKey.substring(start, dot)), routes)
      if (this.#nextCount === 0) return
      start = dot + 1
    }
    this.#finish(this.#vocabulary.find(routingKey.substring(start)), routes)
  }

  invariants(): number {
    assert(!this.#root.isEmpty || this.#vocabulary.size === 0, 'no word is kept without use')
    return this.#plain.invariants() + this.#root.invariants()
  }

  /** The child of a node, made where there is none. */
  #childOf(node: TopicNode<Destination>, text: string): TopicNode<Destination> {
    const known = this.#wordOf(text)
    const child = known === undefined ? undefined : node.child(known)
    if (child !== undefined) return child
    return node.addChild(known === star || known === hash ? known : this.#vocabulary.take(text))
  }

  #wordOf(text: string): Word | undefined {
    if (text === '*') return star
    return text === '#' ? hash : this.#vocabulary.find(text)
  }

  /** Removes a node that is of no more use, and then those above it that were only for it. */
  #prune(leaf: TopicNode<Destination>): void {
    let node = leaf
    while (node.isEmpty && node.parent !== undefined && node.word !== undefined) {
      node.parent.removeChild(node.word)
      if (node.word !== star && node.word !== hash) this.#vocabulary.release(node.word)
      node = node.parent
    }
  }

  /** From the set before a word to the one after it. */
  #advance(word: Word | undefined, routes: Routes<Destination>): void {
    const current = this.#next
    const count = this.#nextCount
    this.#next = this.#current
    this.#current = current
    this.#step += 1
    this.#nextCount = 0
    for (let index = 0; index < count; index += 1) {
      const node = current[index]!
      if (node.takesAnyWords) this.#keep(node)
      const child = word === undefined ? undefined : node.literal(word)
      if (child !== undefined) this.#reach(child, routes)
      if (node.star !== undefined) this.#reach(node.star, routes)
    }
  }

  /** The last word: what ends where it leads matches. */
  #finish(word: Word | undefined, routes: Routes<Destination>): void {
    const current = this.#next
    const count = this.#nextCount
    for (let index = 0; index < count; index += 1) {
      const node = current[index]!
      const child = word === undefined ? undefined : node.literal(word)
      if (child !== undefined) collectEnd(child, routes)
      if (node.star !== undefined) collectEnd(node.star, routes)
    }
  }

  /** A node that the words so far lead to. */
  #reach(node: TopicNode<Destination>, routes: Routes<Destination>): void {
    if (node.takesAnyWords) collect(node, routes)
    if (node.leadsOn) this.#keep(node)
    if (node.hash !== undefined && node.hash.step !== this.#step) this.#reach(node.hash, routes)
  }

  #keep(node: TopicNode<Destination>): void {
    if (node.step === this.#step) return
    node.step = this.#step
    this.#next[this.#nextCount] = node
    this.#nextCount += 1
  }
}

/** The destinations of the bindings whose key ends at the node. */
function collect<Destination>(node: TopicNode<Destination>, routes: Routes<Destination>): void {
  const bindings = node.bindings
  if (bindings === undefined) return
  for (let slot = 0; slot < bindings.length; slot += 1) routes.add(bindings[slot]!.destination)
}

/** As `collect`, and every `#` that may follow stands for no word. */
function collectEnd<Destination>(end: TopicNode<Destination>, routes: Routes<Destination>): void {
  for (let node: TopicNode<Destination> | undefined = end; node !== undefined; node = node.hash) {
    collect(node, routes)
  }
}

/** Whether one of the words is a wildcard. A star or hash within a longer word is an ordinary character. */
function hasWildcard(routingKey: string): boolean {
  return /(?:^|\.)[*#](?:\.|$)/.test(routingKey)
}
