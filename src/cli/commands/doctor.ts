/** `millrace doctor`: examines a data folder, and mends it where that is asked for. */
import { statSync } from 'node:fs'
import type { Command } from 'commander'
import { MillraceError, StoreError } from '../../model/errors.ts'
import { examine, repair } from '../../store/doctor.ts'
import type { DoctorOptions, Examination } from '../../store/doctor.ts'
import { NodeDisk } from '../../store/node-disk.ts'
import { exitCode } from '../exit-code.ts'
import { assertFolder, assertNoEngine, folderOf } from '../folder.ts'
import { counted } from '../format.ts'
import type { Host, SharedOptions } from '../host.ts'
import { Progress } from '../progress.ts'
import { table } from '../table.ts'
import type { Terminal } from '../terminal.ts'

interface DoctorFlags extends SharedOptions {
  readonly repair?: boolean
}

export function addDoctor(program: Command, host: Host): void {
  program
    .command('doctor')
    .description('Examine a data folder that no program uses; with --repair, mend what can be mended')
    .argument('<folder>', 'the data folder')
    .option('--repair', 'mend it; a damaged file is copied to quarantine/ before it is changed')
    .addHelpText('after', '\nExample:\n  $ millrace doctor ./data\n')
    .action(async (folder: string, _local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<DoctorFlags>()
      await host.run(flags, () => doctor(host.terminal, folder, flags))
    })
}

async function doctor(terminal: Terminal, name: string, flags: DoctorFlags): Promise<number> {
  assertNoEngine(flags, 'given as its argument')
  const folder = folderOf(name) ?? name
  assertFolder(folder)
  if (!statSync(folder).isDirectory())
    throw new StoreError('DIRECTORY_UNUSABLE', `${folder} is a file; name a folder`)
  const disk = new NodeDisk(folder)
  const found = await watched(terminal, 'examining', (options) => examine(disk, options))
  if (found.lockedBy !== undefined) {
    throw new StoreError('DIRECTORY_LOCKED', `${folder} is in use by ${found.lockedBy}; stop it first`)
  }
  if (found.files.length === 0 && found.problems.length === 0) {
    throw new MillraceError('NOT_FOUND', `${folder} is empty: there is nothing to examine`)
  }
  if (flags.repair !== true || found.isHealthy) {
    await tell(terminal, flags, found, [])
    return found.isHealthy ? exitCode.ok : exitCode.failure
  }
  const { actions, examination } = await watched(terminal, 'repairing', (options) => repair(disk, options))
  await tell(terminal, flags, examination, actions)
  return examination.isHealthy ? exitCode.ok : exitCode.failure
}

/** With a progress bar, and an end between two files at Ctrl-C. */
async function watched<Result>(
  terminal: Terminal,
  title: string,
  work: (options: DoctorOptions) => Promise<Result>,
): Promise<Result> {
  let progress: Progress | undefined
  try {
    return await work({
      onProgress: ({ done, total }) => {
        if (terminal.interrupted.aborted) throw new MillraceError('ABORTED', 'Interrupted')
        progress ??= new Progress(terminal, title, total)
        progress.advance(done - progress.done)
      },
    })
  } finally {
    progress?.end()
  }
}

async function tell(
  terminal: Terminal,
  flags: DoctorFlags,
  found: Examination,
  actions: readonly string[],
): Promise<void> {
  const lines = flags.json === true ? [JSON.stringify({ ...found, actions })] : page(terminal, found, actions)
  await terminal.print(lines.join('\n'))
}

function page(terminal: Terminal, found: Examination, actions: readonly string[]): string[] {
  const files = found.files.map(({ name, bytes, records, entries, live, index }) => {
    return [name, bytes, records, entries, live, index]
  })
  const queues = found.queues.map(({ vhost, name, ready, delayed, bodyBytes }) => {
    return [vhost, name, ready, delayed, bodyBytes]
  })
  const problems = found.problems.map(({ severity, file, text }) => {
    const colour = ({ error: 'red', warning: 'yellow', note: 'dim' } as const)[severity]
    return `${terminal.style(colour, severity)} ${file === '' ? '' : `${file}: `}${text}`
  })
  return [
    terminal.style('bold', found.path),
    '',
    ...table(terminal, ['FILE', 'BYTES', 'RECORDS', 'MESSAGES', 'STILL QUEUED', 'INDEX'], files),
    '',
    ...table(terminal, ['NAMESPACE', 'QUEUE', 'READY', 'DELAYED', 'BYTES'], queues),
    '',
    ...actions.map((action) => `done: ${action}`),
    ...problems,
    verdict(terminal, found),
  ]
}

function verdict(terminal: Terminal, found: Examination): string {
  if (found.isHealthy) return terminal.style('green', 'The folder is sound.')
  const count = found.problems.filter(({ severity }) => severity !== 'note').length
  return terminal.style(
    'red',
    `The folder has ${counted(count, 'problem')}; --repair mends what can be mended.`,
  )
}
