/**
 * A real Redis of the test's own: its port and folder clash with nobody's, and it ends with the test, or with its process.
 * One starts in some 20 ms; a file that has many tests shares one all the same, and gives each test a key prefix.
 *
 * ```ts
 * const { skip } = await findRedis()
 * test('…', { skip }, async () => {
 *   await using server = await RedisServer.start({ sync: 'always' })
 *   server.url()
 * })
 * ```
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, createWriteStream } from 'node:fs'
import { connect } from 'node:net'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from 'redis'
import { findProgram } from './debian.ts'
import { freePort } from './free-port.ts'

export interface RedisOptions {
  /** When the append-only file is synced: at each write, every second, or there is none (default). */
  readonly sync?: 'always' | 'everysec' | 'none'
  /** More settings, as on the command line: `{ maxmemory: '10mb' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Users are kept in a file: `ACL SAVE` makes them outlive the server. */
  readonly users?: boolean
  /** Another program that is a Redis, such as `valkey-server` (default `MILLRACE_REDIS`, or `redis-server`). */
  readonly program?: string
  /** It is a sentinel, and these are the lines of its file, which it rewrites. */
  readonly sentinel?: readonly string[]
  /** A port to listen on (default a free one). */
  readonly port?: number
}

type Operator = ReturnType<typeof operatorOf>

const startTimeoutMs = 60_000

/** Is there a Redis on this machine, or may one be brought? */
export async function findRedis(): Promise<{ skip: false | string }> {
  const { skip } = await findProgram({
    name: 'Redis',
    packages: ['redis-server'],
    isThere: () => onPath('redis-server'),
  })
  return { skip }
}

export class RedisServer {
  readonly port: number
  readonly #folder: string
  readonly #options: RedisOptions
  #server: ChildProcess | undefined
  /** Our own connection to it. */
  #operator: Promise<Operator> | undefined
  /** Ends the server when this process is gone, however it went. */
  #watchdog: ChildProcess | undefined

  private constructor(options: RedisOptions, folder: string, port: number) {
    this.#options = options
    this.#folder = folder
    this.port = port
  }

  /** Starts one; ready for connections when it resolves. */
  static async start(options: RedisOptions = {}): Promise<RedisServer> {
    const { skip } = await findRedis()
    if (skip !== false) throw new Error(skip)
    const folder = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
    if (options.users === true)
      await writeFile(join(folder, 'users.acl'), 'user default on nopass ~* &* +@all\n')
    if (options.sentinel !== undefined) {
      await writeFile(join(folder, 'sentinel.conf'), `${options.sentinel.join('\n')}\n`)
    }
    const server = new RedisServer(options, folder, options.port ?? (await freePort()))
    try {
      await server.boot()
    } catch (error) {
      await server.close()
      throw error
    }
    return server
  }

  get folder(): string {
    return this.#folder
  }

  get pid(): number {
    return this.#server?.pid ?? 0
  }

  url(port = this.port): string {
    return `redis://127.0.0.1:${port}`
  }

  /** Starts the stopped or killed server again, on its data. */
  async boot(): Promise<void> {
    if (this.#server !== undefined) return
    const server = spawn(
      this.#options.program ?? process.env['MILLRACE_REDIS'] ?? 'redis-server',
      this.#words(),
      {
        cwd: this.#folder,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    const log = createWriteStream(join(this.#folder, 'server.log'), { flags: 'a' })
    server.stdout.pipe(log)
    server.stderr.pipe(log)
    this.#server = server
    this.#watchdog = spawn('sh', ['-c', `cat > /dev/null; kill -9 ${server.pid}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    await this.#awaitReady(server)
  }

  /** SIGTERM: it writes what it has, and ends. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.boot()
  }

  /** SIGSTOP: it holds its connections and answers nobody, until `thaw`. */
  freeze(): void {
    this.#server?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#server?.kill('SIGCONT')
  }

  /** One command; its reply. */
  async command(...words: readonly string[]): Promise<unknown> {
    const operator = await (this.#operator ??= this.#connect())
    return operator.sendCommand([...words])
  }

  /** A figure of INFO: `used_memory`. */
  async info(name: string): Promise<string> {
    const text = String(await this.command('INFO'))
    return new RegExp(`^${name}:(.*)$`, 'm').exec(text)?.[1]?.trim() ?? ''
  }

  /** Ends the server, whatever its state, and removes its folder. */
  async close(): Promise<void> {
    await this.#end('SIGKILL')
    await rm(this.#folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #connect(): Promise<Operator> {
    const operator = operatorOf(this.url())
    const forget = (): void => void (this.#operator = undefined)
    operator.on('error', forget).on('end', forget)
    await operator.connect()
    return operator
  }

  #words(): string[] {
    const { sync = 'none', users = false, sentinel, settings } = this.#options
    const place = { port: String(this.port), bind: '127.0.0.1', dir: this.#folder }
    if (sentinel !== undefined) return [join(this.#folder, 'sentinel.conf'), '--sentinel', ...asWords(place)]
    const all = {
      ...place,
      save: '',
      // A replica need not wait for others that might come too.
      'repl-diskless-sync-delay': '0',
      appendonly: sync === 'none' ? 'no' : 'yes',
      ...(sync !== 'none' && { appendfsync: sync }),
      ...(users && { aclfile: join(this.#folder, 'users.acl') }),
      ...settings,
    }
    return asWords(all)
  }

  async #awaitReady(server: ChildProcess): Promise<void> {
    const startMs = performance.now()
    for (;;) {
      if (await this.#answers()) return
      if (server.exitCode !== null || performance.now() - startMs > startTimeoutMs) {
        const log = await readFile(join(this.#folder, 'server.log'), 'utf8').catch(() => '')
        throw new Error(`Redis did not start:\n${log.slice(-2_000)}`)
      }
      await delay(10)
    }
  }

  /** It answers anything at all but that it is still reading its data. */
  async #answers(): Promise<boolean> {
    const socket = connect(this.port, '127.0.0.1')
    try {
      socket.write('PING\r\n')
      // It may end without a word.
      const said = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => undefined)])
      return said !== undefined && !String(said[0]).startsWith('-LOADING')
    } catch {
      return false
    } finally {
      socket.destroy()
    }
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const server = this.#server
    this.#server = undefined
    const operator = this.#operator
    this.#operator = undefined
    operator?.then((there) => there.destroy()).catch(() => undefined)
    this.#watchdog?.kill('SIGKILL')
    this.#watchdog = undefined
    if (server?.pid === undefined || server.exitCode !== null || server.signalCode !== null) return
    const gone = once(server, 'exit')
    server.kill(signal)
    if (signal === 'SIGTERM') server.kill('SIGCONT')
    await gone
  }
}

function asWords(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
}

/** Patient: where a server or this machine stands still, the test says what it waits for. */
function operatorOf(url: string) {
  return createClient({
    url,
    commandOptions: { timeout: 0 },
    socket: { reconnectStrategy: false, connectTimeout: startTimeoutMs },
  })
}

function onPath(program: string): string | undefined {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return join(folder, program)
    } catch {
      // Not here.
    }
  }
  return undefined
}
