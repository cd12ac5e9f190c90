/**
 * Makes `src/wire/methods.ts` of the protocol's machine-readable definition.
 *
 *   npx tsx scripts/generate-methods.ts
 *
 * What the definition leaves to its reader is said here: which fields are reserved (a method object does not have them),
 * and which long strings are text.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { format, resolveConfig } from 'prettier'

interface Definition {
  readonly copyright: readonly string[]
  readonly domains: readonly (readonly [domain: string, type: string])[]
  readonly constants: readonly { readonly name: string; readonly value: number; readonly class?: string }[]
  readonly classes: readonly ProtocolClass[]
}

interface ProtocolClass {
  readonly id: number
  readonly name: string
  readonly methods: readonly ProtocolMethod[]
}

interface ProtocolMethod {
  readonly id: number
  readonly name: string
  readonly content?: boolean
  readonly arguments: readonly ProtocolField[]
}

interface ProtocolField {
  readonly name: string
  readonly type?: string
  readonly domain?: string
}

/** Fields that the text of the protocol calls reserved, or that stand for what it once had. Written as nothing. */
const reserved: ReadonlySet<string> = new Set([
  'connection.open capabilities',
  'connection.open insist',
  'connection.open-ok known-hosts',
  'channel.open out-of-band',
  'channel.open-ok channel-id',
  'basic.get-empty cluster-id',
])

/** The other long strings are bytes: what a SASL mechanism says, and secrets. */
const textual: ReadonlySet<string> = new Set(['connection.start mechanisms', 'connection.start locales'])

const source = new URL('amqp/amqp-rabbitmq-0.9.1.json', import.meta.url)
const target = new URL('../src/wire/methods.ts', import.meta.url)

/** The text of `src/wire/methods.ts`. */
export async function generateMethods(): Promise<string> {
  const definition = JSON.parse(readFileSync(source, 'utf8')) as Definition
  const options = await resolveConfig(target)
  return format(textOf(definition), { ...options, parser: 'typescript' })
}

function textOf(definition: Definition): string {
  const domains = new Map(definition.domains)
  const classes = definition.classes.toSorted((a, b) => a.id - b.id)
  const lines = [
    '/**',
    " * AMQP 0-9-1's methods and reply codes. Made by scripts/generate-methods.ts of the protocol's definition; not to be edited.",
    ' *',
    ...notice(definition.copyright),
    ' */',
    '',
    '/** Class and method number of each method, as `class << 16 | method`. */',
    'export const methodIds = {',
    ...classes.flatMap((of) =>
      of.methods.map(({ name, id }) => `  '${of.name}.${name}': 0x${hex(of.id)}${hex(id)},`),
    ),
    '} as const',
    '',
    "/** The fields of each method in the protocol's order; method.ts says what each type is in JavaScript. */",
    'export const methodFields = {',
    ...classes.flatMap((of) => of.methods.map((method) => fieldsOf(of, method, domains))),
    '} as const',
    '',
    '/** Methods that a content header and body follow. */',
    'export const methodsWithContent = [',
    ...classes.flatMap((of) =>
      of.methods.filter(({ content }) => content === true).map(({ name }) => `'${of.name}.${name}',`),
    ),
    '] as const',
    '',
    '/** Reply codes by the name that stands in front of a reply text (section 1.2). */',
    'export const replyCodes = {',
    ...definition.constants
      .filter(({ name, class: kind }) => kind !== undefined || name.startsWith('REPLY-'))
      .map(({ name, value }) => `${name.replace(/^REPLY-/, '').replaceAll('-', '_')}: ${value},`),
    '} as const',
    '',
  ]
  return lines.join('\n')
}

function fieldsOf(of: ProtocolClass, method: ProtocolMethod, domains: ReadonlyMap<string, string>): string {
  const fields = method.arguments.map((field) => {
    const where = `${of.name}.${method.name} ${field.name}`
    const domain = field.type ?? field.domain ?? ''
    const type = domains.get(domain)
    if (type === undefined) throw new Error(`${where} has the unknown type ${domain}`)
    const isReserved = reserved.has(where) || (field.name === 'ticket' && of.name !== 'access')
    const kind = type === 'longstr' && textual.has(where) ? 'longtext' : type
    return `${nameOf(field)}: '${isReserved ? 'reserved ' : ''}${kind}'`
  })
  return `  '${of.name}.${method.name}': { ${fields.join(', ')} },`
}

/** A method's own `type` is its name, so an exchange's is called something else. */
function nameOf({ name }: ProtocolField): string {
  return name === 'type' ? 'exchangeType' : camelCase(name)
}

function notice(copyright: readonly string[]): string[] {
  const lines = copyright.join('').split('\n')
  const end = lines.findIndex((line) => line.startsWith('Class information'))
  return lines.slice(0, end - 1).map((line) => ` * ${line}`.trimEnd())
}

function hex(number: number): string {
  return number.toString(16).padStart(4, '0')
}

function camelCase(name: string): string {
  return name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}

if (process.argv[1] === import.meta.filename) writeFileSync(target, await generateMethods())
