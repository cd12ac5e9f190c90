/** What operators set, kept by applying one change after another. Part of DefinitionState. */
import { belongsToUser, belongsToVhost, settingKey } from '../model/setting.ts'
import type { Setting, SettingRemoval } from '../model/setting.ts'

export class SettingsState {
  readonly #settings = new Map<string, Setting>()

  values(): IterableIterator<Setting> {
    return this.#settings.values()
  }

  apply(change: Setting | SettingRemoval): void {
    switch (change.type) {
      case 'user.deleted':
        this.#settings.delete(settingKey(change))
        this.#deleteWhere((setting) => belongsToUser(setting, change.name))
        break
      case 'permission.revoked':
      case 'topicPermission.revoked':
      case 'policy.deleted':
      case 'limit.cleared':
      case 'parameter.cleared':
        this.#settings.delete(settingKey(change))
        break
      case 'user.defined':
      case 'permission.granted':
      case 'topicPermission.granted':
      case 'policy.defined':
      case 'limit.set':
      case 'parameter.set':
      case 'vhost.described':
        this.#settings.set(settingKey(change), change)
    }
  }

  deleteVhost(vhost: string): void {
    this.#deleteWhere((setting) => belongsToVhost(setting, vhost))
  }

  #deleteWhere(goes: (setting: Setting) => boolean): void {
    for (const [key, setting] of this.#settings) if (goes(setting)) this.#settings.delete(key)
  }
}
