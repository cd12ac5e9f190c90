/**
 * A real RabbitMQ of the test's own: its ports, node name, folders, cookie and epmd clash with nobody's, and it ends with
 * the test, or with its process. One takes five seconds to start, so a file shares one and gives each test a virtual
 * host (`addVhost`, milliseconds).
 *
 * ```ts
 * const { skip } = await findRabbitMq()
 * test('…', { skip }, async () => {
 *   await using server = await RabbitMq.start()
 *   server.url()
 * })
 * ```
 */
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { ErlangControl } from './erlang-control.ts'
import { freePort } from './free-port.ts'
import { findRabbitMq } from './rabbitmq-install.ts'

export { findRabbitMq } from './rabbitmq-install.ts'

export interface RabbitMqOptions {
  /** Names of plugins, `rabbitmq_management` for one; none by default. */
  readonly plugins?: readonly string[]
  /** More lines of rabbitmq.conf. */
  readonly config?: readonly string[]
}

interface Ports {
  readonly amqp: number
  readonly distribution: number
  readonly epmd: number
  readonly management: number
}

const startTimeoutMs = 100_000
const stopTimeoutMs = 60_000

export class RabbitMq {
  readonly #scripts: string
  readonly #folder: string
  readonly #ports: Ports
  readonly #node: string
  readonly #epmd: ChildProcess
  readonly #control: ErlangControl
  #server: ChildProcess | undefined
  /** Starts and stops, one after the other: a test that ran out of time may have left one under way. */
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(setting: { scripts: string; folder: string; ports: Ports; node: string }) {
    this.#scripts = setting.scripts
    this.#folder = setting.folder
    this.#ports = setting.ports
    this.#node = setting.node
    const { epmd } = setting.ports
    // Relaxed: the control node may end it although it is registered there itself.
    this.#epmd = spawn('epmd', ['-port', String(epmd), '-address', '127.0.0.1', '-relaxed_command_check'], {
      stdio: 'ignore',
    })
    this.#control = new ErlangControl({ node: setting.node, epmdPort: epmd, env: this.#env() })
  }

  /** Starts one; ready for connections when it resolves. */
  static async start(options: RabbitMqOptions = {}): Promise<RabbitMq> {
    const found = await findRabbitMq()
    if (found.skip !== false) throw new Error(found.skip)
    const folder = await mkdtemp(join(tmpdir(), 'millrace-rabbitmq-'))
    const ports = {
      amqp: await freePort(),
      distribution: await freePort(),
      epmd: await freePort(),
      management: await freePort(),
    }
    const plugins = (options.plugins ?? []).join(',')
    const config = [...(options.config ?? [])]
    if (plugins.includes('management')) config.push(`management.tcp.port = ${ports.management}`)
    await mkdir(join(folder, 'home'))
    const cookie = join(folder, 'home/.erlang.cookie')
    await writeFile(cookie, randomBytes(16).toString('hex'), { mode: 0o400 })
    await writeFile(join(folder, 'plugins'), `[${plugins}].`)
    await writeFile(join(folder, 'rabbitmq.conf'), `${config.join('\n')}\n`)
    const node = `millrace-${process.pid}-${randomBytes(3).toString('hex')}@localhost`
    const server = new RabbitMq({ scripts: found.folder, folder, ports, node })
    try {
      await server.boot()
    } catch (error) {
      await server.close()
      throw error
    }
    return server
  }

  get port(): number {
    return this.#ports.amqp
  }

  /** Of the management API, where that plugin was asked for. */
  get managementPort(): number {
    return this.#ports.management
  }

  /** With the default user guest, who may do everything. */
  url(vhost = '/', port = this.port): string {
    return `amqp://guest:guest@127.0.0.1:${port}/${encodeURIComponent(vhost)}`
  }

  /** Starts the stopped or killed server again, on its data; does nothing where it is up. */
  boot(): Promise<void> {
    return this.#afterwards(() => this.#boot())
  }

  async #boot(): Promise<void> {
    if (this.#server !== undefined) return
    const log = createWriteStream(join(this.#folder, 'server.log'), { flags: 'a' })
    const server = spawn(join(this.#scripts, 'rabbitmq-server'), {
      env: { ...this.#env(), detached: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, so that a kill takes the Erlang helpers too.
      detached: true,
    })
    server.stdout.pipe(log)
    server.stderr.pipe(log)
    this.#server = server
    await this.#awaitListening(server)
    await this.evaluate('rabbit:await_startup()')
  }

  /** SIGTERM: it hangs up on everybody, writes what it has, and ends. */
  stop(): Promise<void> {
    return this.#afterwards(() => this.#end('SIGTERM'))
  }

  /** SIGKILL. */
  kill(): Promise<void> {
    return this.#afterwards(() => this.#end('SIGKILL'))
  }

  /** Stops and starts. */
  async restart(): Promise<void> {
    await this.stop()
    await this.boot()
  }

  /** Evaluates Erlang on the server in milliseconds: `rabbit_vhost:exists(<<"v">>)`. */
  evaluate(expression: string): Promise<string> {
    return this.#control.evaluate(expression)
  }

  /** The real rabbitmqctl, which takes a second or two; what it printed. */
  async ctl(...words: readonly string[]): Promise<string> {
    const command = join(this.#scripts, 'rabbitmqctl')
    const { stdout } = await promisify(execFile)(command, ['-q', '-n', this.#node, ...words], {
      env: this.#env(),
    })
    return stdout
  }

  /** A virtual host where guest may do everything. */
  async addVhost(name: string): Promise<void> {
    await this.evaluate(`rabbit_vhost:add(${binary(name)}, <<"guest">>)`)
    await this.evaluate(
      `rabbit_auth_backend_internal:set_permissions(<<"guest">>, ${binary(name)}, <<".*">>, <<".*">>, <<".*">>, <<"test">>)`,
    )
  }

  async deleteVhost(name: string): Promise<void> {
    await this.evaluate(`rabbit_vhost:delete(${binary(name)}, <<"test">>)`)
  }

  /** A user who may do everything in that virtual host; one that exists is let in there too. */
  async addUser(user: { name: string; password: string; vhost: string }): Promise<void> {
    const [name, password, vhost] = [user.name, user.password, user.vhost].map(binary)
    const backend = 'rabbit_auth_backend_internal'
    await this.evaluate(
      `case ${backend}:exists(${name}) of true -> ok; false -> ${backend}:add_user(${name}, ${password}, <<"test">>) end`,
    )
    const everything = '<<".*">>, <<".*">>, <<".*">>'
    await this.evaluate(`${backend}:set_permissions(${name}, ${vhost}, ${everything}, <<"test">>)`)
  }

  /** Ends the user's connections too. */
  async deleteUser(name: string): Promise<void> {
    await this.evaluate(`rabbit_auth_backend_internal:delete_user(${binary(name)}, <<"test">>)`)
  }

  async queueNames(vhost: string): Promise<string[]> {
    const names = await this.evaluate(
      `[binary:encode_hex(element(4, amqqueue:get_name(Q))) || Q <- rabbit_amqqueue:list(${binary(vhost)})]`,
    )
    return [...names.matchAll(/<<"([0-9A-F]*)">>/g)].map(([, hex]) =>
      Buffer.from(hex ?? '', 'hex').toString(),
    )
  }

  /** Stops and starts the server within its Erlang node: all that a restart is but the start of Erlang, in a second. */
  async restartQuickly(): Promise<void> {
    await this.evaluate('rabbit:stop()')
    await this.evaluate('rabbit:start()')
    await this.evaluate('rabbit:await_startup()')
  }

  /** Raises the memory alarm, by which publishers are blocked, or lets it fall. */
  async memoryAlarm(on: boolean): Promise<void> {
    // Asking for the alarms waits until the connections have been told: what is published behind this meets them.
    const limit = on ? '{absolute, 1}' : '0.4'
    await this.evaluate(`vm_memory_monitor:set_vm_memory_high_watermark(${limit}), rabbit_alarm:get_alarms()`)
  }

  /** Ends the server, whatever its state, and removes its folders. */
  async close(): Promise<void> {
    await this.#end('SIGKILL')
    await this.#control.end()
    this.#epmd.kill('SIGKILL')
    await rm(this.#folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #afterwards(change: () => Promise<void>): Promise<void> {
    const changed = this.#turn.then(change)
    this.#turn = changed.catch(() => undefined)
    return changed
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server?.pid === undefined || server.exitCode !== null || server.signalCode !== null) return
    const gone = once(server, 'exit')
    const late = setTimeout(() => signalGroup(server, 'SIGKILL'), stopTimeoutMs)
    signalGroup(server, signal)
    await gone
    clearTimeout(late)
  }

  async #awaitListening(server: ChildProcess): Promise<void> {
    const startMs = performance.now()
    while (!(await listens(this.port))) {
      if (server.exitCode !== null || performance.now() - startMs > startTimeoutMs) {
        const log = await readFile(join(this.#folder, 'server.log'), 'utf8')
        throw new Error(`RabbitMQ did not start:\n${log.slice(-2_000)}`)
      }
      await delay(50)
    }
  }

  #env(): NodeJS.ProcessEnv {
    const inFolder = (name: string): string => join(this.#folder, name)
    return {
      PATH: process.env['PATH'],
      LANG: 'C.UTF-8',
      HOME: inFolder('home'),
      ERL_EPMD_PORT: String(this.#ports.epmd),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_NODENAME: this.#node,
      RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
      RABBITMQ_NODE_PORT: String(this.#ports.amqp),
      RABBITMQ_DIST_PORT: String(this.#ports.distribution),
      RABBITMQ_CTL_DIST_PORT_MIN: '40000',
      RABBITMQ_CTL_DIST_PORT_MAX: '60000',
      RABBITMQ_CONFIG_FILE: inFolder('rabbitmq.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: inFolder('plugins'),
      RABBITMQ_MNESIA_BASE: inFolder('data'),
      RABBITMQ_LOG_BASE: inFolder('log'),
      RABBITMQ_LOGS: '-',
      RABBITMQ_PID_FILE: inFolder('pid'),
    }
  }
}

function signalGroup(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(-(child.pid as number), signal)
  } catch {
    // It has ended in the meantime.
  }
}

async function listens(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

function binary(text: string): string {
  return `<<${[...Buffer.from(text)].join(',')}>>`
}
