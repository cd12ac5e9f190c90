/** The journal of an engine without a disk: every fact is told to nobody. */
import type { Journal } from '../model/record.ts'

const nothing = (): void => undefined

export const silentJournal: Journal = {
  published: nothing,
  settled: nothing,
  delivered: nothing,
  released: nothing,
  purged: nothing,
  defined: nothing,
}
