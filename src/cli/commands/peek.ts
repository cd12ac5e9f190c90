/** `millrace peek`: looks at a queue's messages without touching them. */
import { Option } from 'commander'
import type { Command } from 'commander'
import type { BrowsedJob } from '../../index.ts'
import { integer } from '../arguments.ts'
import { exitCode } from '../exit-code.ts'
import { age, browsedJson, browsedText } from '../format.ts'
import type { Host, SharedOptions } from '../host.ts'
import { table } from '../table.ts'
import type { Terminal } from '../terminal.ts'

type State = 'ready' | 'delayed' | 'unacked' | 'dead'

interface PeekFlags extends SharedOptions {
  readonly state: State
  readonly limit: number
}

export function addPeek(program: Command, host: Host): void {
  program
    .command('peek')
    .description(
      'Look at the messages of a queue without touching them, in the order they would be delivered',
    )
    .argument('<queue>', 'the queue')
    .addOption(
      new Option('--state <state>', 'which ones')
        .choices(['ready', 'delayed', 'unacked', 'dead'])
        .default('ready'),
    )
    .option('--limit <n>', 'how many at most', integer(1, 1_000_000), 20)
    .addHelpText('after', example)
    .action(async (queue: string, _local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<PeekFlags>()
      await host.run(flags, () => peek(host, queue, flags))
    })
}

const example = `
Examples:
  $ millrace peek emails
  $ millrace peek emails --state dead --json | jq .headers
`

function peek(host: Host, name: string, flags: PeekFlags): Promise<number> {
  const { terminal } = host
  const { state, limit } = flags
  return host.connected(flags, async (mq) => {
    const jobs = await mq
      .queue(name, { declare: false })
      .browse({ state, limit, signal: terminal.interrupted })
    if (flags.json === true) for (const job of jobs) await terminal.print(browsedJson(job))
    else if (jobs.length === 0) terminal.note(`millrace: ${name} has no ${state} messages`)
    else await terminal.print(listing(terminal, jobs, state).join('\n'))
    return jobs.length === 0 ? exitCode.notFound : exitCode.ok
  })
}

function listing(terminal: Terminal, jobs: readonly BrowsedJob[], state: State): string[] {
  const nowMs = Date.now()
  const when = { ready: 'SENT', unacked: 'SENT', delayed: 'DUE', dead: 'WHY' }[state]
  const rows = jobs.map((job) => [job.id, job.attempt, moment(job, state, nowMs), browsedText(job)])
  return table(terminal, ['ID', 'ATTEMPT', when, 'DATA'], rows)
}

function moment(job: BrowsedJob, state: State, nowMs: number): string {
  if (state === 'delayed' && job.dueAt !== undefined) return `in ${age(job.dueAt.getTime() - nowMs)}`
  if (state !== 'dead') return `${age(nowMs - job.sentAt.getTime())} ago`
  const reason = job.headers['x-millrace-reason'] ?? job.headers['x-last-death-reason']
  const error = job.headers['x-millrace-error']
  return [reason, error].filter((part) => typeof part === 'string').join(': ')
}
