/** The settings behind a server's URL, and what is wrong with it, in words that hold no password. */
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { ValidationError } from '../model/errors.ts'

/** The query; what nobody asked for is unknown. */
export class UrlSettings {
  readonly #invalid: (hint: string) => ValidationError
  readonly #left: Map<string, string>

  constructor(parameters: URLSearchParams, invalid: (hint: string) => ValidationError) {
    this.#invalid = invalid
    this.#left = new Map(parameters)
  }

  text(name: string): string | undefined {
    const value = this.#left.get(name)
    this.#left.delete(name)
    return value
  }

  integer(name: string, otherwise: number, minimum = 0): number {
    const value = this.text(name)
    if (value === undefined) return otherwise
    if (!/^\d{1,10}$/.test(value) || Number(value) < minimum) {
      throw this.#invalid(`'${name}' is a whole number from ${minimum} up`)
    }
    return Number(value)
  }

  /** The first is the default. */
  oneOf<const T extends string>(name: string, values: readonly [T, ...T[]]): T {
    const value = this.text(name)
    if (value === undefined) return values[0]
    const known = values.find((candidate) => candidate === value)
    if (known === undefined) throw this.#invalid(`'${name}' is ${values.join(' or ')}`)
    return known
  }

  /** As RabbitMQ names them (https://www.rabbitmq.com/docs/uri-query-parameters). */
  tls(): ConnectionOptions {
    const servername = this.text('server_name_indication')
    return {
      ...this.#file('ca', 'cacertfile'),
      ...this.#file('cert', 'certfile'),
      ...this.#file('key', 'keyfile'),
      ...(this.oneOf('verify', ['verify_peer', 'verify_none']) === 'verify_none' && {
        rejectUnauthorized: false,
      }),
      ...(servername !== undefined && { servername }),
    }
  }

  /** @param known those of every URL; those of TLS are added */
  assertAllKnown(known: string): void {
    const [name] = this.#left.keys()
    if (name === undefined) return
    throw this.#invalid(
      `it takes no setting '${name}' (but ${known} and, with TLS, cacertfile, certfile, keyfile, verify, server_name_indication)`,
    )
  }

  #file(option: 'ca' | 'cert' | 'key', name: string): ConnectionOptions {
    const path = this.text(name)
    if (path === undefined) return {}
    try {
      return { [option]: readFileSync(path) }
    } catch (error) {
      throw this.#invalid(`'${name}' cannot be read (${(error as Error).message})`)
    }
  }
}

/** @param kind 'an AMQP server' */
export function invalidUrl(url: string, kind: string): (hint: string) => ValidationError {
  return (hint) =>
    new ValidationError('INVALID_URL', `'${withoutPassword(url)}' is no URL of ${kind}: ${hint}`)
}

/** What a part of a URL says. */
export function decodePart(text: string, invalid: (hint: string) => ValidationError): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('a % is written %25')
  }
}

/** Passwords belong in no log. */
function withoutPassword(url: string): string {
  return url
    .replace(/^([a-z+]+:\/\/[^:@/]*):[^/?#]*@/i, '$1:***@')
    .replaceAll(/([?&][a-z_]*password=)[^&#]*/gi, '$1***')
}
