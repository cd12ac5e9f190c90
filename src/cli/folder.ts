/** Data folders as the command line is given them. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { MillraceError } from '../model/errors.ts'
import { UsageError } from './exit-code.ts'

/** The folder of a `file:` URL, or undefined for another engine's, and for a URL that the engine will refuse itself. */
export function folderOf(url: string): string | undefined {
  const match = /^file:([^?#]*)/i.exec(url)
  const path = match?.[1]
  if (path === undefined || path === '') return undefined
  try {
    return path.startsWith('//') ? fileURLToPath(`file:${path}`) : decodeURIComponent(path)
  } catch {
    return undefined
  }
}

/** A folder that is missing is most likely a typing mistake. @throws MillraceError NOT_FOUND */
export function assertFolder(folder: string): void {
  if (existsSync(folder)) return
  throw new MillraceError(
    'NOT_FOUND',
    `There is no data folder ${folder}; check the path, or make it with send --declare`,
  )
}

/** For commands that work on a folder: what names an engine would have been ignored. @throws UsageError */
export function assertNoEngine(flags: { url?: string; namespace?: string }, instead: string): void {
  const { url, namespace } = flags
  const given = url === undefined ? (namespace === undefined ? undefined : '--namespace') : '--url'
  if (given !== undefined)
    throw new UsageError(`this command takes no ${given}: it works on a folder, ${instead}`)
}
