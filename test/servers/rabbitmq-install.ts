/** Is there a RabbitMQ on this machine, or may one be brought? */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { findProgram } from './debian.ts'

/** The folder with the real scripts; what Debian has on the PATH changes the user. */
const debianFolder = '/usr/lib/rabbitmq/bin'

/** The folder of rabbitmq-server and rabbitmqctl, or why there is none, as the `skip` of a test. */
export async function findRabbitMq(): Promise<
  { folder: string; skip: false } | { folder: ''; skip: string }
> {
  const { found, skip } = await findProgram({
    name: 'RabbitMQ',
    packages: ['rabbitmq-server'],
    isThere: scriptsFolder,
  })
  return skip === false ? { folder: found, skip } : { folder: '', skip }
}

function scriptsFolder(): string | undefined {
  const folders = [debianFolder, ...(process.env['PATH'] ?? '').split(delimiter)]
  return folders.find((folder) => existsSync(join(folder, 'rabbitmq-server')))
}
