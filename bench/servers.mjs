/**
 * The servers that peers need, each our own: loopback, free ports, files in the run's temporary folder, ended with the run.
 * Found where Debian and Ubuntu put them, or on the PATH; a missing one skips its contestants.
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const starters = { redis: startRedis, rabbitmq: startRabbitMQ }

/** `needs`: names of servers. What cannot be started is told in `missing`, by name. */
export async function startServers(needs, work) {
  const servers = { urls: {}, pids: {}, versions: {}, missing: {}, stop: () => stopAll(processes) }
  const processes = []
  for (const need of needs) {
    try {
      const folder = join(work, need)
      await mkdir(folder, { recursive: true })
      const { url, version, pid } = await starters[need](folder, processes)
      servers.urls[need] = url
      servers.pids[need] = pid
      servers.versions[need] = version
    } catch (error) {
      servers.missing[need] = error.message
    }
  }
  return servers
}

/** Redis as it is run for queues: append-only file, synced every second. */
async function startRedis(folder, processes) {
  const program = find('redis-server')
  const port = await freePort()
  const options = ['--bind', '127.0.0.1', '--port', port, '--dir', folder, '--save', '']
  const pid = launch(processes, program, [...options, '--appendonly', 'yes', '--appendfsync', 'everysec'])
  await listening(port)
  const version = /v=(\S+)/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[1]
  return { url: `redis://127.0.0.1:${port}`, version, pid }
}

/** RabbitMQ with its own node name, cookie, port mapper (epmd) and files, and its defaults in all else. */
async function startRabbitMQ(folder, processes) {
  // Debian's wrapper on the PATH would change user and folder.
  const script = '/usr/lib/rabbitmq/bin/rabbitmq-server'
  const program = existsSync(script) ? script : find('rabbitmq-server')
  const [port, distributionPort, mapperPort] = [await freePort(), await freePort(), await freePort()]
  const plugins = join(folder, 'enabled_plugins')
  await writeFile(plugins, '[].')
  const environment = {
    ...process.env,
    HOME: folder,
    ERL_EPMD_PORT: mapperPort,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: `bench${port}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: port,
    RABBITMQ_DIST_PORT: distributionPort,
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    RABBITMQ_CONF_ENV_FILE: join(folder, 'none'),
    RABBITMQ_CONFIG_FILE: join(folder, 'none'),
    RABBITMQ_ENABLED_PLUGINS_FILE: plugins,
  }
  launch(processes, find('epmd'), ['-port', mapperPort, '-address', '127.0.0.1'])
  await listening(mapperPort)
  launch(processes, program, [], environment)
  await listening(port, 90_000)
  const { connect } = await import('amqplib')
  const url = `amqp://guest:guest@127.0.0.1:${port}`
  const connection = await connect(url)
  const version = connection.connection.serverProperties.version
  await connection.close()
  // That of the Erlang machine: the script that was launched is its parent.
  const pid = Number(await readFile(join(folder, 'pid'), 'latin1'))
  return { url, version, pid }
}

/** In a process group of its own, for scripts that start others; the group is ended with us whatever happens. Its id. */
function launch(processes, program, options, environment = process.env) {
  const child = spawn(program, options.map(String), { env: environment, stdio: 'ignore', detached: true })
  const end = (signal) => {
    if (child.pid === undefined) return
    try {
      process.kill(-child.pid, signal)
    } catch {
      // It has ended by itself.
    }
  }
  const server = {
    end,
    ended: new Promise((resolve) => child.once('exit', resolve)),
    atExit: () => end('SIGKILL'),
  }
  child.on('error', () => undefined)
  process.prependOnceListener('exit', server.atExit)
  processes.push(server)
  return child.pid
}

/** Last started first: a server before what it relies on. */
async function stopAll(processes) {
  for (const server of processes.toReversed()) {
    server.end('SIGTERM')
    await Promise.race([server.ended, sleep(15_000, undefined, { ref: false })])
    server.end('SIGKILL')
    process.off('exit', server.atExit)
  }
}

function find(program) {
  const folder = (process.env['PATH'] ?? '')
    .split(':')
    .find((candidate) => existsSync(join(candidate, program)))
  if (folder === undefined) throw new Error(`${program} is not installed`)
  return join(folder, program)
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

async function listening(port, patienceMs = 10_000) {
  const deadline = Date.now() + patienceMs
  while (Date.now() < deadline) {
    if (await accepts(port)) return
    await sleep(100)
  }
  throw new Error(`nothing listens on the port ${port} after ${patienceMs} ms`)
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
