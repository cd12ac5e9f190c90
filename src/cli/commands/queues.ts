/** `millrace queues`: every queue and how it stands. */
import type { Command } from 'commander'
import type { Client, QueueReport } from '../../index.ts'
import { MillraceError } from '../../model/errors.ts'
import { exitCode } from '../exit-code.ts'
import type { Host, SharedOptions } from '../host.ts'
import { table, unknownFigure } from '../table.ts'

/** Queues that are asked about at once. */
const together = 50

export function addQueues(program: Command, host: Host): void {
  program
    .command('queues')
    .description('List the queues and how many messages are in each')
    .addHelpText('after', '\nExample:\n  $ millrace queues --json | jq -r .name\n')
    .action(async (_local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<SharedOptions>()
      await host.run(flags, () => queues(host, flags))
    })
}

function queues(host: Host, flags: SharedOptions): Promise<number> {
  const { terminal } = host
  return host.connected(flags, async (mq) => {
    const found = await reports(mq)
    if (flags.json === true) {
      for (const [name, report] of found) await terminal.print(JSON.stringify({ name, ...report }))
    } else if (found.length === 0) terminal.note('millrace: there are no queues')
    else {
      const rows = found.map(([name, { ready, unacked, delayed, consumers, paused }]) => [
        paused ? `${name} (paused)` : name,
        ready,
        unacked ?? unknownFigure,
        delayed ?? unknownFigure,
        consumers,
      ])
      await terminal.print(
        table(terminal, ['NAME', 'READY', 'UNACKED', 'DELAYED', 'CONSUMERS'], rows).join('\n'),
      )
    }
    return exitCode.ok
  })
}

async function reports(mq: Client): Promise<[name: string, report: QueueReport][]> {
  const names = [...(await mq.queues())].sort()
  const found: [string, QueueReport][] = []
  for (let start = 0; start < names.length; start += together) {
    const part = await Promise.all(names.slice(start, start + together).map((name) => reportOf(mq, name)))
    for (const entry of part) if (entry !== undefined) found.push(entry)
  }
  return found
}

/** Undefined for a queue that was deleted meanwhile. */
async function reportOf(mq: Client, name: string): Promise<[string, QueueReport] | undefined> {
  try {
    return [name, await mq.queue(name, { declare: false }).stats()]
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'NOT_FOUND') return undefined
    throw error
  }
}
