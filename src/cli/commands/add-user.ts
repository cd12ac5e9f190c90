/** `millrace add_user`: makes a user in a data folder that no broker has open. */
import { text } from 'node:stream/consumers'
import type { Command } from 'commander'
import { UsageError, exitCode } from '../exit-code.ts'
import { assertNoEngine } from '../folder.ts'
import type { Host, SharedOptions } from '../host.ts'
import { defaultFolder } from '../serve-options.ts'

interface Flags extends SharedOptions {
  readonly data: string
  readonly vhost: string
}

const help = `
The user may do everything in the virtual host. Once there is one, guest is deleted, unless its password was changed.
Without PASSWORD it is read from the input, so that it stands in no history of commands.

Example:
  $ millrace add_user app --data ./data < password.txt
`

export function addAddUser(program: Command, host: Host): void {
  program
    .command('add_user')
    .description('Make a user of the broker, or change its password (while the broker is stopped)')
    .argument('<name>')
    .argument('[password]')
    .option('--data <folder>', "the broker's data folder", defaultFolder)
    .option('-p, --vhost <name>', 'where the user may do everything', '/')
    .addHelpText('after', help)
    .action(async (name: string, password: string | undefined, _local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>()
      await host.run(flags, () => addUser(host, flags, { name, password }))
    })
}

async function addUser(
  host: Host,
  flags: Flags,
  user: { name: string; password: string | undefined },
): Promise<number> {
  assertNoEngine(flags, '--data FOLDER')
  const { name } = user
  const password = user.password ?? (await readPassword(host))
  if (password === '') throw new UsageError('the password is empty; nobody could log in with it')
  // Loaded here, so that the other commands start without it.
  const { openBroker } = await import('../../broker/open-broker.ts')
  const { defaultVhost, defineUser, guest, isGuestAlone } = await import('../../server/users.ts')
  const broker = await openBroker({ folder: flags.data })
  try {
    broker.ensureVhost(defaultVhost)
    broker.ensureVhost(flags.vhost)
    if (name !== guest && isGuestAlone(broker)) broker.engine.access.deleteUser(guest)
    await defineUser(broker, { name, password, vhosts: [flags.vhost], stored: true })
    await broker.whenDurable()
  } finally {
    await broker.close()
  }
  host.terminal.note(`millrace: ${name} may do everything in '${flags.vhost}'`)
  return exitCode.ok
}

async function readPassword(host: Host): Promise<string> {
  const { terminal } = host
  if (terminal.inputIsTerminal) return terminal.ask('Password: ')
  return (await text(terminal.input)).replace(/\r?\n$/, '')
}
