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
      for (const { name, report } of found) {
        await terminal.print(JSON.stringify({ name, ...(report ?? { exclusive: true }) }))
      }
    } else if (found.length === 0) terminal.note('millrace: there are no queues')
    else {
      const head = ['NAME', 'READY', 'UNACKED', 'DELAYED', 'CONSUMERS']
      await terminal.print(table(terminal, head, found.map(rowOf)).join('\n'))
    }
    return exitCode.ok
  })
}

interface Listed {
  readonly name: string
  /** Undefined for a queue that is another connection's alone: nobody else is told its figures. */
  readonly report: QueueReport | undefined
}

function rowOf({ name, report }: Listed): (string | number)[] {
  if (report === undefined) return [`${name} (exclusive)`, ...Array<string>(4).fill(unknownFigure)]
  const { ready, unacked = unknownFigure, delayed = unknownFigure, consumers, paused } = report
  return [paused ? `${name} (paused)` : name, ready, unacked, delayed, consumers]
}

async function reports(mq: Client): Promise<Listed[]> {
  const names = [...(await mq.queues())].sort()
  const found: Listed[] = []
  for (let start = 0; start < names.length; start += together) {
    const part = await Promise.all(names.slice(start, start + together).map((name) => reportOf(mq, name)))
    for (const entry of part) if (entry !== undefined) found.push(entry)
  }
  return found
}

/** Undefined for a queue that was deleted meanwhile. */
async function reportOf(mq: Client, name: string): Promise<Listed | undefined> {
  try {
    return { name, report: await mq.queue(name, { declare: false }).stats() }
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    if (error.code === 'NOT_FOUND') return undefined
    if (error.code === 'RESOURCE_LOCKED') return { name, report: undefined }
    throw error
  }
}
