/** The examples' command lines: `--url URL` says which engine, else MQ_URL does, else it is a folder of the example's own. */
import { parseArgs } from 'node:util'

export function commandLine(otherwise: string): { url: string; words: string[] } {
  try {
    const { values, positionals: words } = parseArgs({
      options: { url: { type: 'string' } },
      allowPositionals: true,
    })
    return { url: values.url || process.env.MQ_URL || otherwise, words }
  } catch (error) {
    console.error(
      `${(error as Error).message}\nAn example takes --url, for instance --url redis://localhost:6379`,
    )
    process.exit(2)
  }
}
