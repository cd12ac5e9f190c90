/** `millrace move`: messages from one queue to the tail of another. */
import type { Command } from 'commander'
import { integer } from '../arguments.ts'
import { UsageError, exitCode } from '../exit-code.ts'
import { counted } from '../format.ts'
import type { Host, SharedOptions } from '../host.ts'
import { moveMessages } from '../moving.ts'

interface MoveFlags extends SharedOptions {
  readonly limit?: number
}

export function addMove(program: Command, host: Host): void {
  program
    .command('move')
    .description('Move ready messages to the tail of another queue, attempts reset')
    .argument('<from>', 'the queue they are in')
    .argument('<to>', 'the queue they go to')
    .option('--limit <n>', 'how many at most (default: all that are there now)', integer(1))
    .addHelpText('after', '\nExample:\n  $ millrace move emails emails-slow --limit 1000\n')
    .action(async (from: string, to: string, _local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<MoveFlags>()
      await host.run(flags, () => move(host, from, to, flags))
    })
}

function move(host: Host, from: string, to: string, flags: MoveFlags): Promise<number> {
  const { terminal } = host
  if (from === to) throw new UsageError('give two different queues')
  return host.connected(flags, async (mq) => {
    await mq.queue(to, { declare: false }).declare()
    const moved = await moveMessages(mq, terminal, { from, to, limit: flags.limit })
    await terminal.print(
      flags.json === true
        ? JSON.stringify({ moved })
        : `Moved ${counted(moved, 'message')} from ${from} to ${to}`,
    )
    return terminal.interrupted.aborted ? exitCode.interrupted : exitCode.ok
  })
}
