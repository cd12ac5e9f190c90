/**
 * Other people's programs that tests run: servers, and clients in other languages, as Debian has them. Where one is
 * missing and the tests may install (`CI`, or `MILLRACE_INSTALL=1`, and root or sudo without a password), apt-get brings
 * it. Else the tests that need it are skipped with a reason that everybody sees; in CI they fail.
 */
import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * Looks for a program, and installs its packages where it is missing and that is allowed.
 *
 * @param isThere what it finds, or undefined
 * @returns what was found, and the `skip` of the tests that need it
 */
export async function findProgram<T>(options: {
  name: string
  packages: readonly string[]
  isThere: () => T | undefined | Promise<T | undefined>
}): Promise<{ found: T; skip: false } | { found: undefined; skip: string }> {
  const { name, packages, isThere } = options
  let found = await isThere()
  if (found === undefined && mayInstall()) {
    await install(packages)
    found = await isThere()
  }
  if (found !== undefined) return { found, skip: false }
  const skip = `${name} is not installed: apt-get install ${packages.join(' ')}, or run with MILLRACE_INSTALL=1`
  if (process.env['CI'] !== undefined) throw new Error(skip)
  console.error(`\n*** SKIPPED: ${skip} ***\n`)
  return { found: undefined, skip }
}

function mayInstall(): boolean {
  return process.env['CI'] !== undefined || process.env['MILLRACE_INSTALL'] === '1'
}

async function install(packages: readonly string[]): Promise<void> {
  const apt = 'apt-get -y -qq -o DPkg::Lock::Timeout=300'
  const script = `${apt} update && ${apt} install --no-install-recommends ${packages.join(' ')}`
  // Test files run beside each other, and apt-get waits for nobody who updates the lists.
  const words = ['flock', join(tmpdir(), 'millrace-apt.lock'), 'sh', '-c', script]
  const [command = '', ...rest] = process.getuid?.() === 0 ? words : ['sudo', '-n', '-E', ...words]
  // RUNLEVEL=1 keeps a package from starting a server of its own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  console.error(`*** installing ${packages.join(' ')} ***`)
  try {
    await run(command, rest, { env })
  } catch (error) {
    console.error(`*** ${packages.join(' ')} could not be installed: ${String(error)} ***`)
  }
}
