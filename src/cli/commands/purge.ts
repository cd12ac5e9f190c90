/** `millrace purge`: drops a queue's messages. */
import { Option } from 'commander'
import type { Command } from 'commander'
import type { Queue } from '../../index.ts'
import { UsageError, exitCode } from '../exit-code.ts'
import { counted } from '../format.ts'
import type { Host, SharedOptions } from '../host.ts'

type State = 'ready' | 'delayed' | 'all' | 'dead'

interface PurgeFlags extends SharedOptions {
  readonly state: State
  readonly yes?: boolean
}

export function addPurge(program: Command, host: Host): void {
  program
    .command('purge')
    .description("Drop the messages of a queue; those in a consumer's hands stay")
    .argument('<queue>', 'the queue')
    .addOption(
      new Option('--state <state>', 'which ones; all is ready and delayed')
        .choices(['ready', 'delayed', 'all', 'dead'])
        .default('ready'),
    )
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  $ millrace purge emails --state dead --yes\n')
    .action(async (queue: string, _local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<PurgeFlags>()
      await host.run(flags, () => purge(host, queue, flags))
    })
}

function purge(host: Host, name: string, flags: PurgeFlags): Promise<number> {
  const { terminal } = host
  if (flags.yes !== true && !(terminal.inputIsTerminal && terminal.errorsIsTerminal)) {
    throw new UsageError(`purge drops messages for good; give --yes to purge ${name}`)
  }
  return host.connected(flags, async (mq) => {
    const queue = mq.queue(name, { declare: false })
    if (flags.yes !== true) {
      const count = await countOf(queue, flags.state)
      const answer = await terminal.ask(
        `Drop ${counted(count, `${stateName(flags.state)} message`)} of ${name}? [y/N] `,
      )
      if (!/^y(es)?$/i.test(answer.trim())) {
        terminal.note('Nothing was dropped')
        return exitCode.failure
      }
    }
    const purged =
      flags.state === 'dead' ? await queue.dead.purge() : await queue.purge({ state: flags.state })
    await terminal.print(
      flags.json === true ? JSON.stringify({ purged }) : `Dropped ${counted(purged, 'message')} of ${name}`,
    )
    return exitCode.ok
  })
}

async function countOf(queue: Queue, state: State): Promise<number> {
  const { ready, delayed = 0, dead } = await queue.stats()
  return { ready, delayed, all: ready + delayed, dead }[state]
}

function stateName(state: State): string {
  return state === 'all' ? 'ready or delayed' : state
}
