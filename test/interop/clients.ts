/** The clients that are not npm packages: Debian's Python with its AMQP libraries, and librabbitmq's command line tools. */
import { execFile, spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { promisify } from 'node:util'
import { findProgram } from '../servers/debian.ts'

const run = promisify(execFile)

/** The Python that Debian's packages are for; the one on the PATH may be another. */
export const python = '/usr/bin/python3'
const programs = join(import.meta.dirname, 'python')

/** The `skip` of tests that need these modules of Python. */
export async function needPython(module: 'pika' | 'kombu' | 'celery' | 'redis'): Promise<string | false> {
  const { skip } = await findProgram({
    name: `Python's ${module}`,
    packages: [`python3-${module}`],
    isThere: () => imports(module),
  })
  return skip
}

async function imports(module: string): Promise<true | undefined> {
  if (!existsSync(python)) return undefined
  return await run(python, ['-c', `import ${module}`]).then(
    () => true,
    () => undefined,
  )
}

/** Starts a program of python/; its errors are shown. */
export function spawnPython(file: string, ...words: string[]): ChildProcessByStdio<Writable, Readable, null> {
  const environment = { ...process.env, PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' }
  return spawn(python, [join(programs, file), ...words], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: environment,
  })
}

/** The `skip` of tests that need `amqp-publish` and its sisters. */
export async function needAmqpTools(): Promise<string | false> {
  const { skip } = await findProgram({
    name: 'librabbitmq',
    packages: ['amqp-tools'],
    isThere: () => (existsSync('/usr/bin/amqp-publish') ? true : undefined),
  })
  return skip
}
