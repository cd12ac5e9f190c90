/** The version of this package, from its package.json. */
import { readFileSync } from 'node:fs'

// From src/server and from dist/server it is the same two steps up.
const manifest: { version: string } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
)

export const version: string = manifest.version
