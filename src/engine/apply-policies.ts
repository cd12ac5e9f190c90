/** What a change of policies does to a queue or exchange that is there. */
import { exchangeUnderPolicy, underPolicy } from '../model/policy.ts'
import type { Exchange } from './exchange.ts'
import type { Kernel } from './kernel.ts'
import type { AppliedPolicies } from './policies.ts'
import type { Queue } from './queue.ts'

/** @param nowMs -1 where that is not known: its `x-expires` begins with the next advance */
export function applyToQueue(kernel: Kernel, queue: Queue, nowMs: number): void {
  const { name, vhost, ownSettings } = queue
  const policies = kernel.policies.of({ kind: ownSettings.type, vhost: vhost.name, name })
  if (sameAs(policies, queue.policies)) return
  const expiresMs = queue.settings.expiresMs
  const settings =
    policies === undefined ? ownSettings : underPolicy(ownSettings, queue.arguments, policies.definition)
  queue.policies = policies
  queue.settings = settings
  queue.messageTtlMs = settings.messageTtlMs
  queue.maxLength = settings.maxLength
  queue.maxLengthBytes = settings.maxLengthBytes
  queue.deliveryLimit = settings.deliveryLimit
  queue.limited = settings.maxLength !== Infinity || settings.maxLengthBytes !== Infinity
  if (settings.expiresMs !== expiresMs && settings.expiresMs !== Infinity) {
    queue.lastUsedMs = nowMs
    kernel.schedule(queue, nowMs < 0 ? 0 : nowMs + settings.expiresMs)
  }
  if (queue.limited && queue.isOverLimit) kernel.markOverflowing(queue)
}

export function applyToExchange(kernel: Kernel, exchange: Exchange): void {
  const { name, vhost, ownSettings } = exchange
  const policies = kernel.policies.of({ kind: 'exchange', vhost: vhost.name, name })
  if (sameAs(policies, exchange.policies)) return
  const settings =
    policies === undefined ? ownSettings : exchangeUnderPolicy(ownSettings, policies.definition)
  exchange.policies = policies
  exchange.alternate = settings.alternateExchange
}

function sameAs(a: AppliedPolicies | undefined, b: AppliedPolicies | undefined): boolean {
  return a?.policy === b?.policy && a?.operatorPolicy === b?.operatorPolicy
}
