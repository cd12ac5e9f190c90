/** Restoring what operators set. Part of restore.ts. */
import type { Setting, SettingRemoval } from '../model/setting.ts'
import type { Kernel } from './kernel.ts'

/** Applies one fact; what is gone already is ok. */
export function restoreSetting(kernel: Kernel, fact: Setting | SettingRemoval): void {
  const { access, operatorLimits, parameters, policies } = kernel
  switch (fact.type) {
    case 'user.defined':
    case 'permission.granted':
    case 'topicPermission.granted':
      return access.restore(fact)
    case 'user.deleted':
      return void access.deleteUser(fact.name)
    case 'permission.revoked':
      return void access.revoke(fact)
    case 'topicPermission.revoked':
      return void access.revokeTopic(fact)
    case 'limit.set':
      return operatorLimits.restore(fact)
    case 'limit.cleared':
      return void operatorLimits.clear(fact)
    case 'parameter.set':
      return parameters.restore(fact)
    case 'parameter.cleared':
      return void parameters.clear(fact)
    case 'vhost.described':
      return parameters.restoreVhost(fact)
    case 'policy.defined': {
      const { type: _type, ...facts } = fact
      return policies.restore(facts, -1)
    }
    case 'policy.deleted':
      return void policies.delete(fact, -1)
  }
}
