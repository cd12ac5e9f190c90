/**
 * The functions on the server: every transition of a queue is one of them, and so one step. Loaded as Redis Functions where
 * the server has them (7.0), else as one script that is called by its hash. What a server forgets is loaded again.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Connection } from './connection.ts'
import { Keys } from './keys.ts'
import { ServerError } from './node-redis.ts'
import type { Argument, Reply } from './node-redis.ts'

const parts = ['1-queue', '2-publish', '3-work', '4-manage', '5-transfer', '6-topology']
/** Of `commands.revision`. */
const revision = 3

export interface FunctionCall {
  readonly name: string
  readonly key: string
  readonly words: readonly Argument[]
  readonly confirm: boolean
}

export class Library {
  readonly #code = parts.map(read).join('\n')
  #mode: 'functions' | 'scripts' = 'functions'
  #script: { text: string; hash: string } | undefined

  /** Looks what the server has, and loads what it lacks. @throws ServerError */
  async prepare(connection: Connection, version: string): Promise<void> {
    this.#mode = Number(version.split('.')[0]) >= 7 ? 'functions' : 'scripts'
    try {
      await this.#load(connection)
    } catch (error) {
      // Some operators, and some who sell Redis, let nobody have functions.
      if (this.#mode === 'scripts' || !isDenied(error)) throw error
      this.#mode = 'scripts'
      await this.#load(connection)
    }
  }

  async run(connection: Connection, call: FunctionCall): Promise<Reply> {
    try {
      return await connection.send(call.key, this.#words(connection, call), call.confirm)
    } catch (error) {
      if (!isForgotten(error)) throw error
      await this.#load(connection)
      return connection.send(call.key, this.#words(connection, call), call.confirm)
    }
  }

  #words({ isCluster }: Connection, { name, key, words }: FunctionCall): Argument[] {
    const keys = isCluster && key.includes('{') ? ['2', key, Keys.absent(key)] : ['1', key]
    if (this.#mode === 'functions') return ['FCALL', `millrace_${name}`, ...keys, ...words]
    return ['EVALSHA', this.#asScript().hash, ...keys, ...words, name]
  }

  async #load(connection: Connection): Promise<void> {
    const { text: script, hash } = this.#asScript()
    const isScript = this.#mode === 'scripts'
    const ask = isScript ? ['EVALSHA', hash, '0', 'revision'] : ['FCALL', 'millrace_revision', '0']
    const found = await connection.everywhere(ask).catch((error: unknown) => {
      if (isForgotten(error)) return [0]
      throw error
    })
    if (found.every((number) => typeof number === 'number' && number >= revision)) return
    if (isScript) {
      await connection.everywhere(['SCRIPT', 'LOAD', script])
      return
    }
    const text = `#!lua name=millrace\n${this.#code}\n${read('7-functions')}`
    await connection.everywhere(['FUNCTION', 'LOAD', 'REPLACE', text])
  }

  #asScript(): { text: string; hash: string } {
    if (this.#script !== undefined) return this.#script
    const text = `${this.#code}\n${read('7-script')}`
    return (this.#script = { text, hash: createHash('sha1').update(text).digest('hex') })
  }
}

function isDenied(error: unknown): boolean {
  if (!(error instanceof ServerError)) return false
  return error.kind === 'NOPERM' || error.message.startsWith('ERR unknown command')
}

function isForgotten(error: unknown): boolean {
  if (!(error instanceof ServerError)) return false
  return error.kind === 'NOSCRIPT' || error.message.startsWith('ERR Function not found')
}

function read(part: string): string {
  return readFileSync(new URL(`./lua/${part}.lua`, import.meta.url), 'utf8')
}
