/** The syntax of regular expressions: Perl's, without what cannot be matched in bounded time. Part of regular-expression.ts. */
import { parseClass, parseEscapedSet } from './regular-expression-sets.ts'
import { Reader } from './regular-expression-reader.ts'
import type { CharacterSet } from './regular-expression-sets.ts'

export type { CharacterSet } from './regular-expression-sets.ts'

/** A place between characters. `finalLine` is the end, or before a line break that ends the text. */
export type Edge = 'start' | 'end' | 'finalLine' | 'lineStart' | 'lineEnd' | 'word' | 'notWord'

export type ExpressionNode =
  | { readonly type: 'set'; readonly has: CharacterSet }
  | { readonly type: 'edge'; readonly edge: Edge }
  | { readonly type: 'look'; readonly node: ExpressionNode; readonly negative: boolean }
  | { readonly type: 'sequence'; readonly nodes: readonly ExpressionNode[] }
  | { readonly type: 'choice'; readonly nodes: readonly ExpressionNode[] }
  | {
      readonly type: 'repeat'
      readonly node: ExpressionNode
      readonly minimum: number
      readonly maximum: number
    }

/** What `(?i)` and the like switch; they hold to the end of their group. */
interface Flags {
  readonly ignoreCase: boolean
  readonly dotAll: boolean
  readonly multiline: boolean
}

const maximumDepth = 100
const maximumCount = 65_535

const escapedEdges: Readonly<Record<string, Edge>> = {
  A: 'start',
  z: 'end',
  Z: 'finalLine',
  b: 'word',
  B: 'notWord',
}

/** Throws SyntaxError, in words that can be shown. */
export function parseExpression(source: string): ExpressionNode {
  const reader = new Reader(source)
  const flags = { ignoreCase: false, dotAll: false, multiline: false }
  const node = parseChoice(reader, flags, 0)
  if (!reader.atEnd) throw reader.wrong('unmatched closing parenthesis')
  return node
}

function parseChoice(reader: Reader, outer: Flags, depth: number): ExpressionNode {
  if (depth > maximumDepth) throw reader.wrong('parentheses are too deeply nested')
  let flags = outer
  const choices: ExpressionNode[] = []
  let sequence: ExpressionNode[] = []
  while (!reader.atEnd && !reader.sees(')')) {
    if (reader.takes('|')) {
      choices.push({ type: 'sequence', nodes: sequence })
      sequence = []
      continue
    }
    const switched = takeFlags(reader, flags)
    if (switched !== undefined) {
      flags = switched
      continue
    }
    const quoted = takeQuoted(reader, flags)
    if (quoted !== undefined) sequence.push(...quoted)
    else sequence.push(parseRepeated(reader, flags, depth))
  }
  choices.push({ type: 'sequence', nodes: sequence })
  return choices.length === 1 ? choices[0]! : { type: 'choice', nodes: choices }
}

function parseRepeated(reader: Reader, flags: Flags, depth: number): ExpressionNode {
  let node = parseAtom(reader, flags, depth)
  for (let count = takeCount(reader); count !== undefined; count = takeCount(reader)) {
    if (reader.takes('+')) throw reader.wrong('possessive quantifiers are not supported')
    // Lazy or not makes no difference to whether it is found.
    reader.takes('?')
    node = { type: 'repeat', node, ...count }
  }
  return node
}

function takeCount(reader: Reader): { minimum: number; maximum: number } | undefined {
  if (reader.takes('*')) return { minimum: 0, maximum: Infinity }
  if (reader.takes('+')) return { minimum: 1, maximum: Infinity }
  if (reader.takes('?')) return { minimum: 0, maximum: 1 }
  const braces = reader.takeMatch(/\{(\d+)(?:(,)(\d*))?\}/y)
  if (braces === undefined) return undefined
  const minimum = Number(braces[1])
  const maximum = braces[2] === undefined ? minimum : braces[3] === '' ? Infinity : Number(braces[3])
  if (maximum < minimum) throw reader.wrong('numbers out of order in {} quantifier')
  if (minimum > maximumCount || (maximum > maximumCount && maximum !== Infinity)) {
    throw reader.wrong('number too big in {} quantifier')
  }
  return { minimum, maximum }
}

function parseAtom(reader: Reader, flags: Flags, depth: number): ExpressionNode {
  if (reader.takes('(')) return parseGroup(reader, flags, depth)
  if (reader.takes('[')) return { type: 'set', has: parseClass(reader, flags.ignoreCase) }
  if (reader.takes('.')) {
    return { type: 'set', has: flags.dotAll ? () => true : (codePoint) => codePoint !== newline }
  }
  if (reader.takes('^')) return { type: 'edge', edge: flags.multiline ? 'lineStart' : 'start' }
  if (reader.takes('$')) return { type: 'edge', edge: flags.multiline ? 'lineEnd' : 'finalLine' }
  if (reader.sees('*') || reader.sees('+') || reader.sees('?')) {
    throw reader.wrong('quantifier does not follow a repeatable item')
  }
  if (reader.takes('\\')) {
    const edge = reader.takeMatch(/[AzZbB]/y)
    if (edge !== undefined) return { type: 'edge', edge: escapedEdges[edge[0]]! }
    return { type: 'set', has: parseEscapedSet(reader, flags.ignoreCase) }
  }
  return { type: 'set', has: literal(reader.next(), flags) }
}

function parseGroup(reader: Reader, flags: Flags, depth: number): ExpressionNode {
  let inner = flags
  let look: 'none' | 'positive' | 'negative' = 'none'
  if (reader.takes('?')) {
    const switched = reader.takeMatch(/([a-z]*)(?:-([a-z]*))?:/y)
    if (switched !== undefined) inner = withFlags(reader, flags, switched)
    else if (reader.takes('=')) look = 'positive'
    else if (reader.takes('!')) look = 'negative'
    else if (reader.takeMatch(/P?<[A-Za-z_]\w*>|'[A-Za-z_]\w*'/y) === undefined) {
      throw reader.wrong('this kind of group is not supported')
    }
  }
  const node = parseChoice(reader, inner, depth + 1)
  if (!reader.takes(')')) throw reader.wrong('missing closing parenthesis')
  return look === 'none' ? node : { type: 'look', node, negative: look === 'negative' }
}

/** `(?i)`: for the rest of the group. */
function takeFlags(reader: Reader, flags: Flags): Flags | undefined {
  const switched = reader.takeMatch(/\(\?([a-z]+)(?:-([a-z]*))?\)/y) ?? reader.takeMatch(/\(\?()-([a-z]+)\)/y)
  return switched === undefined ? undefined : withFlags(reader, flags, switched)
}

function withFlags(reader: Reader, flags: Flags, [, on = '', off = '']: RegExpExecArray): Flags {
  if (!/^[ims]*$/.test(on + off)) throw reader.wrong('flags other than i, m and s are not supported')
  const value = (flag: string, before: boolean) => !off.includes(flag) && (on.includes(flag) || before)
  return {
    ignoreCase: value('i', flags.ignoreCase),
    dotAll: value('s', flags.dotAll),
    multiline: value('m', flags.multiline),
  }
}

/** `\Q...\E`: every character stands for itself. */
function takeQuoted(reader: Reader, flags: Flags): ExpressionNode[] | undefined {
  const quoted = reader.takeMatch(/\\Q([^]*?)(?:\\E|$)/y)
  if (quoted === undefined) return undefined
  return Array.from(quoted[1]!, (character) => ({ type: 'set', has: literal(character, flags) }))
}

const newline = 10

function literal(character: string, flags: Flags): CharacterSet {
  const wanted = character.codePointAt(0)
  if (!flags.ignoreCase) return (codePoint) => codePoint === wanted
  const lower = character.toLowerCase()
  return (codePoint) => codePoint === wanted || String.fromCodePoint(codePoint).toLowerCase() === lower
}
