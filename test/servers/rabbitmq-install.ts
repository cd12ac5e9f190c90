/**
 * Is there a RabbitMQ on this machine? Where it is missing and the tests may install (`CI`, or `MILLRACE_INSTALL=1`, and
 * root or sudo without a password), apt-get brings it. Else the tests that need it are skipped with a reason that
 * everybody sees; in CI they fail.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The folder with the real scripts; what Debian has on the PATH changes the user. */
const debianFolder = '/usr/lib/rabbitmq/bin'

/** The folder of rabbitmq-server and rabbitmqctl, or why there is none, as the `skip` of a test. */
export async function findRabbitMq(): Promise<
  { folder: string; skip: false } | { folder: ''; skip: string }
> {
  let folder = scriptsFolder()
  if (folder === undefined && mayInstall()) {
    await install()
    folder = scriptsFolder()
  }
  if (folder !== undefined) return { folder, skip: false }
  const skip = 'RabbitMQ is not installed: apt-get install rabbitmq-server, or run with MILLRACE_INSTALL=1'
  if (process.env['CI'] !== undefined) throw new Error(skip)
  console.error(`\n*** SKIPPED: ${skip} ***\n`)
  return { folder: '', skip }
}

function scriptsFolder(): string | undefined {
  const folders = [debianFolder, ...(process.env['PATH'] ?? '').split(delimiter)]
  return folders.find((folder) => existsSync(join(folder, 'rabbitmq-server')))
}

function mayInstall(): boolean {
  return process.env['CI'] !== undefined || process.env['MILLRACE_INSTALL'] === '1'
}

async function install(): Promise<void> {
  const apt = ['apt-get', '-y', '-qq', '-o', 'DPkg::Lock::Timeout=300']
  const [command = '', ...first] = process.getuid?.() === 0 ? apt : ['sudo', '-n', '-E', ...apt]
  // RUNLEVEL=1 keeps the package from starting a server of its own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  console.error('*** installing rabbitmq-server ***')
  try {
    await run(command, [...first, 'update'], { env })
    await run(command, [...first, 'install', '--no-install-recommends', 'rabbitmq-server'], { env })
  } catch (error) {
    console.error(`*** rabbitmq-server could not be installed: ${String(error)} ***`)
  }
}
