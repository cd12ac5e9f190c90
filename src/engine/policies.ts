/**
 * Policies: arguments that operators give to queues and exchanges by their names, at any time
 * (https://www.rabbitmq.com/docs/policies).
 *
 * Of a virtual host's policies that match a name the one of the highest priority applies (of equals, the first by
 * name), and beside it one operator policy, chosen likewise. When a policy changes, the queues and exchanges of its
 * virtual host are looked at again.
 */
import { MillraceError } from '../model/errors.ts'
import type { FieldTable } from '../model/field-value.ts'
import { checkPolicyDefinition, mergePolicies } from '../model/policy.ts'
import type { PolicyFacts, PolicyTarget, Setting } from '../model/setting.ts'
import { applyToExchange, applyToQueue } from './apply-policies.ts'
import type { Kernel } from './kernel.ts'
import { NamePattern } from './name-pattern.ts'
import { tooMany, unknownVhost } from './refusals.ts'

/** The policies of one queue or exchange, and what they say together. */
export interface AppliedPolicies {
  readonly policy: PolicyFacts | undefined
  readonly operatorPolicy: PolicyFacts | undefined
  readonly definition: FieldTable
}

/** What policies are for. */
export interface PolicySubject {
  readonly kind: 'exchange' | 'classic' | 'quorum'
  readonly vhost: string
  readonly name: string
}

type Identity = Pick<PolicyFacts, 'vhost' | 'name' | 'operator'>

interface Policy {
  readonly facts: PolicyFacts
  readonly pattern: NamePattern
}

/** Highest priority first. */
type PolicyList = readonly Policy[]

const noPolicies: PolicyList = []

const targets: Readonly<Record<PolicyTarget, readonly PolicySubject['kind'][]>> = {
  all: ['exchange', 'classic', 'quorum'],
  exchanges: ['exchange'],
  queues: ['classic', 'quorum'],
  classic_queues: ['classic'],
  quorum_queues: ['quorum'],
}

export class Policies {
  readonly #kernel: Kernel
  readonly #byVhost = {
    user: new Map<string, PolicyList>(),
    operator: new Map<string, PolicyList>(),
  }
  #size = 0

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** Sets or replaces one, and applies it. Throws NOT_FOUND (virtual host), INVALID_ARGUMENT, LIMIT_REACHED. */
  set(facts: PolicyFacts, nowMs: number): void {
    const kernel = this.#kernel
    kernel.enter()
    const { vhost, name, operator, pattern, applyTo, priority, definition } = facts
    if (!kernel.vhosts.has(vhost)) throw unknownVhost(vhost)
    if (name === '') throw invalid('the name of a policy is empty; give it one')
    if (!Object.hasOwn(targets, applyTo)) throw unknownTarget(applyTo)
    if (!Number.isSafeInteger(priority)) throw invalid(`priority must be a whole number, not ${priority}`)
    checkPolicyDefinition(definition, operator)
    const limit = kernel.limits.policies
    if (this.#size >= limit && this.get(facts) === undefined) throw tooMany('policies', limit)
    this.restore({ vhost, name, operator, pattern, applyTo, priority, definition }, nowMs)
    kernel.journal.defined({
      type: 'policy.defined',
      vhost,
      name,
      operator,
      pattern,
      applyTo,
      priority,
      definition,
    })
  }

  /** What it gave is gone; false if there is no such policy. */
  delete(which: Identity, nowMs: number): boolean {
    this.#kernel.enter()
    if (this.get(which) === undefined) return false
    const { vhost, name, operator } = which
    this.#replace(which, undefined)
    this.#applyAll(vhost, nowMs)
    this.#kernel.journal.defined({ type: 'policy.deleted', vhost, name, operator })
    return true
  }

  get(which: Identity): PolicyFacts | undefined {
    return this.#list(which).find((policy) => policy.facts.name === which.name)?.facts
  }

  *values(): IterableIterator<PolicyFacts> {
    for (const lists of [this.#byVhost.user, this.#byVhost.operator]) {
      for (const list of lists.values()) for (const { facts } of list) yield facts
    }
  }

  /** What applies to a queue or exchange; undefined for nothing. */
  of(subject: PolicySubject): AppliedPolicies | undefined {
    const policy = firstMatching(this.#byVhost.user.get(subject.vhost), subject)
    const operatorPolicy = firstMatching(this.#byVhost.operator.get(subject.vhost), subject)
    if (policy === undefined && operatorPolicy === undefined) return undefined
    const definition = mergePolicies(policy?.definition ?? {}, operatorPolicy?.definition ?? {})
    return { policy, operatorPolicy, definition }
  }

  /** Applies what is on record. @param nowMs -1 where that is not known */
  restore(facts: PolicyFacts, nowMs: number): void {
    this.#replace(facts, { facts, pattern: new NamePattern(facts.pattern === '' ? '.*' : facts.pattern) })
    this.#applyAll(facts.vhost, nowMs)
  }

  forgetVhost(vhost: string): void {
    for (const lists of [this.#byVhost.user, this.#byVhost.operator]) {
      this.#size -= lists.get(vhost)?.length ?? 0
      lists.delete(vhost)
    }
  }

  /** Everything, as facts. */
  *settings(): IterableIterator<Setting> {
    for (const facts of this.values()) yield { type: 'policy.defined', ...facts }
  }

  #list({ vhost, operator }: Identity): PolicyList {
    return this.#byVhost[operator ? 'operator' : 'user'].get(vhost) ?? noPolicies
  }

  #replace(which: Identity, policy: Policy | undefined): void {
    const before = this.#list(which)
    const after = before.filter((other) => other.facts.name !== which.name)
    if (policy !== undefined) after.push(policy)
    after.sort(byPriority)
    this.#size += after.length - before.length
    const lists = this.#byVhost[which.operator ? 'operator' : 'user']
    if (after.length === 0) lists.delete(which.vhost)
    else lists.set(which.vhost, after)
  }

  #applyAll(vhostName: string, nowMs: number): void {
    const vhost = this.#kernel.vhosts.get(vhostName)
    if (vhost === undefined) return
    for (const exchange of vhost.exchanges.values()) applyToExchange(this.#kernel, exchange)
    for (const queue of vhost.queues.values()) applyToQueue(this.#kernel, queue, nowMs)
  }
}

function firstMatching(list: PolicyList | undefined, subject: PolicySubject): PolicyFacts | undefined {
  if (list === undefined) return undefined
  for (const { facts, pattern } of list) {
    if (targets[facts.applyTo].includes(subject.kind) && pattern.matches(subject.name)) return facts
  }
  return undefined
}

function byPriority(a: Policy, b: Policy): number {
  return b.facts.priority - a.facts.priority || (a.facts.name < b.facts.name ? -1 : 1)
}

function unknownTarget(target: string): MillraceError {
  return invalid(
    `apply-to '${target}' unrecognised; should be one of: 'queues', 'classic_queues', 'quorum_queues', 'exchanges', or 'all'`,
  )
}

function invalid(why: string): MillraceError {
  return new MillraceError('INVALID_ARGUMENT', why)
}
