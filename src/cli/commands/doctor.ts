/** `millrace doctor`: examines a data folder, and mends it where that is asked for. */
import type { Command } from 'commander'
import type { Host, SharedOptions } from '../host.ts'

interface DoctorFlags extends SharedOptions {
  readonly repair?: boolean
}

export function addDoctor(program: Command, host: Host): void {
  program
    .command('doctor')
    .description('Examine a data folder that no program uses; with --repair, mend what can be mended')
    .argument('<folder>', 'the data folder')
    .option('--repair', 'mend it; what cannot be read is set aside, never deleted')
    .addHelpText('after', '\nExample:\n  $ millrace doctor ./data\n')
    .action(async (folder: string, _local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<DoctorFlags>()
      await host.run(flags, () => doctor(host, folder, flags))
    })
}

async function doctor(_host: Host, _folder: string, _flags: DoctorFlags): Promise<number> {
  throw new Error('not yet')
}
