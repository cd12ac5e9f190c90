/** `millrace redrive`: dead-lettered messages back into their queue. */
import type { Command } from 'commander'
import { integer } from '../arguments.ts'
import { exitCode } from '../exit-code.ts'
import { counted } from '../format.ts'
import type { Host, SharedOptions } from '../host.ts'
import { moveMessages } from '../moving.ts'

interface RedriveFlags extends SharedOptions {
  readonly limit?: number
  readonly from?: string
}

export function addRedrive(program: Command, host: Host): void {
  program
    .command('redrive')
    .description('Move dead-lettered messages back into their queue, the oldest first, attempts reset')
    .argument('<queue>', 'the queue they go back to')
    .option('--limit <n>', 'how many at most (default: all that are there now)', integer(1))
    .option('--from <queue>', "the dead-letter queue (default: the queue's name and '.dead')")
    .addHelpText('after', '\nExample:\n  $ millrace redrive webhooks --limit 1\n')
    .action(async (queue: string, _local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<RedriveFlags>()
      await host.run(flags, () => redrive(host, queue, flags))
    })
}

function redrive(host: Host, name: string, flags: RedriveFlags): Promise<number> {
  const { terminal } = host
  const from = flags.from ?? `${name}.dead`
  return host.connected(flags, async (mq) => {
    await mq.queue(name, { declare: false }).declare()
    const moved = await moveMessages(mq, terminal, { from, to: name, limit: flags.limit })
    await terminal.print(
      flags.json === true
        ? JSON.stringify({ moved })
        : `Moved ${counted(moved, 'message')} from ${from} back to ${name}`,
    )
    return terminal.interrupted.aborted ? exitCode.interrupted : exitCode.ok
  })
}
