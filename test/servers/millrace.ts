/**
 * Millrace's own broker as a server of the test's: a process on a folder, on the same port through all its lives, that can
 * be stopped, killed and started again. It ends with the test's process.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'

export interface Command {
  readonly do: 'addVhost' | 'deleteVhost' | 'queueNames'
  readonly vhost: string
}

const program = join(import.meta.dirname, 'millrace-main.ts')

export class MillraceServer {
  readonly port: number
  readonly #folder: string
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #nextId = 1
  #process: ChildProcess | undefined

  private constructor(folder: string, port: number) {
    this.#folder = folder
    this.port = port
  }

  static async start(): Promise<MillraceServer> {
    const server = new MillraceServer(await mkdtemp(join(tmpdir(), 'millrace-server-')), await freePort())
    await server.boot()
    return server
  }

  url(vhost = '/', port = this.port): string {
    return `amqp://guest:guest@127.0.0.1:${port}/${encodeURIComponent(vhost)}`
  }

  async boot(): Promise<void> {
    const child = fork(program, [join(this.#folder, 'data'), String(this.port)], {
      execArgv: ['--import', 'tsx'],
    })
    this.#process = child
    await new Promise<void>((resolve, reject) => {
      child.on('message', (message: { ready?: number; id?: number; value?: unknown; error?: string }) => {
        if (message.ready !== undefined) return resolve()
        const waiting = this.#waiting.get(message.id ?? 0)
        this.#waiting.delete(message.id ?? 0)
        if (message.error === undefined) waiting?.resolve(message.value)
        else waiting?.reject(new Error(message.error))
      })
      child.on('exit', () => reject(new Error('the broker ended before it listened')))
    })
  }

  async addVhost(vhost: string): Promise<void> {
    await this.#ask({ do: 'addVhost', vhost })
  }

  async deleteVhost(vhost: string): Promise<void> {
    await this.#ask({ do: 'deleteVhost', vhost })
  }

  async queueNames(vhost: string): Promise<string[]> {
    return (await this.#ask({ do: 'queueNames', vhost })) as string[]
  }

  /** SIGTERM: it says goodbye and stores everything. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async close(): Promise<void> {
    await this.#end('SIGKILL')
    await rm(this.#folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #ask(command: Command): Promise<unknown> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#process?.send({ id, command })
    })
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }
}
