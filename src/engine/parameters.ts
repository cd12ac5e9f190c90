/** What is kept for others and means nothing here: parameters, and what operators say of virtual hosts. */
import { MillraceError } from '../model/errors.ts'
import type { ParameterFacts, Setting, VhostFacts } from '../model/setting.ts'
import type { Kernel } from './kernel.ts'
import { tooMany, unknownVhost } from './refusals.ts'

const queueTypes: readonly string[] = ['', 'classic', 'quorum']

type Named = Pick<ParameterFacts, 'vhost' | 'component' | 'name'>

export class Parameters {
  readonly #kernel: Kernel
  readonly #parameters = new Map<string, ParameterFacts>()
  readonly #vhosts = new Map<string, VhostFacts>()

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  get(whose: Named): string | undefined {
    return this.#parameters.get(keyOf(whose))?.value
  }

  /** Throws NOT_FOUND (virtual host), LIMIT_REACHED. */
  set(facts: ParameterFacts): void {
    const kernel = this.#kernel
    kernel.enter()
    const { vhost, component, name, value } = facts
    if (vhost !== '' && !kernel.vhosts.has(vhost)) throw unknownVhost(vhost)
    const limit = kernel.limits.parameters
    if (this.#parameters.size >= limit && !this.#parameters.has(keyOf(facts))) {
      throw tooMany('parameters', limit)
    }
    this.restore(facts)
    kernel.journal.defined({ type: 'parameter.set', vhost, component, name, value })
  }

  /** False if there was none. */
  clear(whose: Named): boolean {
    this.#kernel.enter()
    if (!this.#parameters.delete(keyOf(whose))) return false
    const { vhost, component, name } = whose
    this.#kernel.journal.defined({ type: 'parameter.cleared', vhost, component, name })
    return true
  }

  values(): IterableIterator<ParameterFacts> {
    return this.#parameters.values()
  }

  /** What was said of a virtual host; undefined if nothing. */
  vhost(name: string): VhostFacts | undefined {
    return this.#vhosts.get(name)
  }

  /** Throws NOT_FOUND, INVALID_ARGUMENT (type of queue). */
  describeVhost(facts: VhostFacts): void {
    this.#kernel.enter()
    if (!this.#kernel.vhosts.has(facts.vhost)) throw unknownVhost(facts.vhost)
    if (!queueTypes.includes(facts.defaultQueueType)) {
      const message = `Unsupported default queue type '${facts.defaultQueueType}'; classic and quorum are there`
      throw new MillraceError('INVALID_ARGUMENT', message)
    }
    const { vhost, description, tags, defaultQueueType } = facts
    this.restoreVhost(facts)
    this.#kernel.journal.defined({ type: 'vhost.described', vhost, description, tags, defaultQueueType })
  }

  /** Applies what is on record. */
  restore(facts: ParameterFacts): void {
    const { vhost, component, name, value } = facts
    this.#parameters.set(keyOf(facts), { vhost, component, name, value })
  }

  /** Applies what is on record. */
  restoreVhost({ vhost, description, tags, defaultQueueType }: VhostFacts): void {
    this.#vhosts.set(vhost, { vhost, description, tags: [...tags], defaultQueueType })
  }

  forgetVhost(name: string): void {
    this.#vhosts.delete(name)
    for (const [key, { vhost }] of this.#parameters) if (vhost === name) this.#parameters.delete(key)
  }

  /** Everything, as facts. */
  *settings(): IterableIterator<Setting> {
    for (const facts of this.#vhosts.values()) yield { type: 'vhost.described', ...facts }
    for (const facts of this.#parameters.values()) yield { type: 'parameter.set', ...facts }
  }
}

function keyOf({ vhost, component, name }: Named): string {
  return JSON.stringify([vhost, component, name])
}
