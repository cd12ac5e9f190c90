/** The command line: every command, and what they have in common. */
import { Command, CommanderError } from 'commander'
import { addAddUser } from './commands/add-user.ts'
import { addConsume } from './commands/consume.ts'
import { addDoctor } from './commands/doctor.ts'
import { addMove } from './commands/move.ts'
import { addPeek } from './commands/peek.ts'
import { addPurge } from './commands/purge.ts'
import { addQueues } from './commands/queues.ts'
import { addRedrive } from './commands/redrive.ts'
import { addSend } from './commands/send.ts'
import { addServe } from './commands/serve.ts'
import { addStats } from './commands/stats.ts'
import { exitCode } from './exit-code.ts'
import { Host } from './host.ts'
import type { Terminal } from './terminal.ts'
import { version } from './version.ts'

/**
 * Runs one command line and resolves with its exit code; never rejects for what a user or an engine can cause.
 *
 * @param broker the URL where the broker of this machine is, if not at its usual port
 */
export async function run(argv: readonly string[], terminal: Terminal, broker?: string): Promise<number> {
  const host = new Host(terminal, broker)
  try {
    await createProgram(host).parseAsync(argv, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help that was asked for is code 0; help because no command was given, and every mistake, is not.
    return error.exitCode === 0 ? exitCode.ok : exitCode.usage
  }
  return host.code
}

function createProgram(host: Host): Command {
  const { terminal } = host
  const program = new Command('millrace')
    .description('A message queue: send, consume and look after queues on any engine')
    .version(version, '-V, --version')
    .option('--url <url>', 'the engine, e.g. file:./data (default: MQ_URL, else the broker on this machine)')
    .option('--namespace <name>', 'keeps applications apart')
    .option('--json', 'for scripts: one JSON object, or one per line')
    .option('--debug', 'show stacks of errors (also MILLRACE_DEBUG=1)')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void terminal.write(text).catch(() => undefined),
      writeErr: (text) => terminal.writeNote(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'millrace: ')),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      getOutHelpWidth: () => Math.min(terminal.columns, 100),
      getErrHelpWidth: () => Math.min(terminal.columns, 100),
    })
    .addHelpText('after', footer)
  for (const add of commands) add(program, host)
  return program
}

const commands = [
  addServe,
  addSend,
  addConsume,
  addPeek,
  addQueues,
  addStats,
  addPurge,
  addRedrive,
  addMove,
  addDoctor,
  addAddUser,
] as const

const footer = `
Exit codes: 0 ok, 1 failure, 2 wrong usage, 3 not found or nothing to print, 130 interrupted.

Examples:
  $ export MQ_URL=file:./data
  $ millrace send emails '{"to":"a@b.c"}' --declare
  $ millrace peek emails
  $ millrace consume emails --follow
`
