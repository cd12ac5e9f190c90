/** AMQP brokers as processes of their own: ours, and the bare loop. (RabbitMQ is in servers.mjs: it takes long to start.) */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { freePort } from './servers.mjs'

const serveFile = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
const bareFile = fileURLToPath(new URL('peers/bare-loop.mjs', import.meta.url))

/** `millrace serve` on that folder, as a user starts it. Resolves with what `run` returns and the broker's peak memory. */
export function withServe(folder, run) {
  if (!existsSync(serveFile)) throw new Error('dist/ does not exist: run npm run build at the root first')
  return withBroker(
    (port) => [serveFile, 'serve', '--data', folder, '--port', port, '--log-level', 'warn'],
    run,
  )
}

/** Parse, route by queue name, one write and fdatasync per batch, confirm, deliver; and nothing else. */
export function withBare(folder, run) {
  return withBroker((port) => [bareFile, folder, port], run)
}

async function withBroker(commandOf, run) {
  const port = await freePort()
  const startedAt = performance.now()
  const child = spawn(process.execPath, commandOf(port).map(String), {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const end = () => child.kill('SIGKILL')
  process.once('exit', end)
  const ended = new Promise((resolve) => child.once('exit', resolve))
  try {
    const url = `amqp://guest:guest@127.0.0.1:${port}`
    const connection = await connectWhenUp(url)
    const startMs = performance.now() - startedAt
    await connection.close()
    const result = await run(url, { pid: child.pid, startMs })
    return { ...result, 'broker MB': peakMb(child.pid) }
  } finally {
    child.kill('SIGTERM')
    await Promise.race([ended, sleep(5_000, undefined, { ref: false })])
    end()
    process.off('exit', end)
  }
}

async function connectWhenUp(url, patienceMs = 30_000) {
  const deadline = performance.now() + patienceMs
  for (;;) {
    try {
      return await connect(url, { noDelay: true })
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(5)
    }
  }
}

/** Peak resident memory of that process in MB; undefined where the system does not tell. */
export function peakMb(pid) {
  return statusMb(pid, 'VmHWM')
}

/** Resident memory of that process in MB now. */
export function residentMb(pid) {
  return statusMb(pid, 'VmRSS')
}

function statusMb(pid, name) {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1')
    return Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1]) / 1024)
  } catch {
    return undefined
  }
}

/** Seconds of processor time that a process has used. */
export function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
