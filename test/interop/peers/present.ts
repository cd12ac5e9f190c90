import type { Properties } from './peer.ts'

/** The properties that a message had, without what its client fills in for those it had not. */
export function present(properties: object): Properties {
  const isThere = ([name, value]: readonly [string, unknown]): boolean =>
    value !== undefined && value !== null && !(name === 'headers' && Object.keys(value).length === 0)
  return Object.fromEntries(Object.entries(properties).filter(isThere))
}
