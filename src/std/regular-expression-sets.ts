/** Sets of characters in a regular expression: `[a-z]`, `\d`, `\x41`. Part of regular-expression.ts. */
import type { Reader } from './regular-expression-reader.ts'

export type CharacterSet = (codePoint: number) => boolean

const controls: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, e: 27, a: 7 }

/** After a backslash: a set or one character. */
export function parseEscapedSet(reader: Reader, ignoreCase: boolean): CharacterSet {
  const escaped = parseEscape(reader)
  return typeof escaped === 'number' ? withCase(between(escaped, escaped), ignoreCase) : escaped
}

/** After `[`, to the end of the class. */
export function parseClass(reader: Reader, ignoreCase: boolean): CharacterSet {
  const negated = reader.takes('^')
  const sets: CharacterSet[] = []
  for (let isFirst = true; isFirst || !reader.takes(']'); isFirst = false) {
    if (reader.atEnd) throw reader.wrong('missing terminating ] for character class')
    sets.push(parseItem(reader, ignoreCase))
  }
  const has: CharacterSet = (codePoint) => sets.some((set) => set(codePoint))
  return negated ? (codePoint) => !has(codePoint) : has
}

function parseItem(reader: Reader, ignoreCase: boolean): CharacterSet {
  const posix = reader.takeMatch(/\[:(\^?)([a-z]+):\]/y)
  if (posix !== undefined) return posixSet(reader, posix[2]!, posix[1] === '^')
  const from = parseMember(reader)
  if (typeof from !== 'number') return from
  if (reader.sees('-]') || !reader.takes('-')) return withCase(between(from, from), ignoreCase)
  const to = parseMember(reader)
  if (typeof to !== 'number') throw reader.wrong('invalid range in character class')
  if (to < from) throw reader.wrong('range out of order in character class')
  return withCase(between(from, to), ignoreCase)
}

function parseMember(reader: Reader): CharacterSet | number {
  if (!reader.takes('\\')) return reader.next().codePointAt(0)!
  if (reader.takes('b')) return 8
  return parseEscape(reader)
}

function parseEscape(reader: Reader): CharacterSet | number {
  const hex =
    reader.takeMatch(/x\{([0-9A-Fa-f]{1,6})\}/y) ??
    reader.takeMatch(/u([0-9A-Fa-f]{4})/y) ??
    reader.takeMatch(/x([0-9A-Fa-f]{0,2})/y)
  if (hex !== undefined) return Number.parseInt(`0${hex[1]}`, 16)
  const property = reader.takeMatch(/([pP])(?:\{(\^?)(\w+)\}|(\w))/y)
  if (property !== undefined) return propertySet(reader, property)
  if (reader.takeMatch(/0/y) !== undefined) return 0
  const letter = reader.takeMatch(/[A-Za-z1-9]/y)
  if (letter === undefined) return reader.next().codePointAt(0)!
  const known = classes[letter[0]] ?? controls[letter[0]]
  if (known === undefined) throw reader.wrong(`\\${letter[0]} is not supported`)
  return known
}

const isDigit = between(48, 57)
const isLower = between(97, 122)
const isUpper = between(65, 90)
const isLetter = anyOf(isLower, isUpper)
const isWord = anyOf(isLetter, isDigit, between(95, 95))
const isBlank = anyOf(between(32, 32), between(9, 9))
const isSpace = anyOf(between(9, 13), between(32, 32))
const isPrintable = between(33, 126)

const classes: Readonly<Record<string, CharacterSet>> = {
  d: isDigit,
  D: not(isDigit),
  w: isWord,
  W: not(isWord),
  s: isSpace,
  S: not(isSpace),
  h: isBlank,
  H: not(isBlank),
  v: between(10, 13),
  V: not(between(10, 13)),
  N: not(between(10, 10)),
}

const posixClasses: Readonly<Record<string, CharacterSet>> = {
  alpha: isLetter,
  digit: isDigit,
  alnum: anyOf(isLetter, isDigit),
  lower: isLower,
  upper: isUpper,
  word: isWord,
  space: isSpace,
  blank: isBlank,
  punct: (codePoint) => isPrintable(codePoint) && !isLetter(codePoint) && !isDigit(codePoint),
  print: between(32, 126),
  graph: isPrintable,
  cntrl: anyOf(between(0, 31), between(127, 127)),
  xdigit: anyOf(isDigit, between(97, 102), between(65, 70)),
  ascii: between(0, 127),
}

function posixSet(reader: Reader, name: string, negated: boolean): CharacterSet {
  const set = Object.hasOwn(posixClasses, name) ? posixClasses[name] : undefined
  if (set === undefined) throw reader.wrong('unknown POSIX class name')
  return negated ? not(set) : set
}

/** `\p{Lu}`: JavaScript's own classes know Unicode; of one character each, they take no time. */
function propertySet(reader: Reader, [, letter, caret, long, short]: RegExpExecArray): CharacterSet {
  const negated = (letter === 'P') !== (caret === '^')
  try {
    const expression = new RegExp(`^\\p{${long ?? short ?? ''}}$`, 'u')
    return (codePoint) => expression.test(String.fromCodePoint(codePoint)) !== negated
  } catch {
    throw reader.wrong('unknown property name after \\P or \\p')
  }
}

function withCase(set: CharacterSet, ignoreCase: boolean): CharacterSet {
  if (!ignoreCase) return set
  return (codePoint) => {
    if (set(codePoint)) return true
    const character = String.fromCodePoint(codePoint)
    return set(character.toLowerCase().codePointAt(0)!) || set(character.toUpperCase().codePointAt(0)!)
  }
}

function between(from: number, to: number): CharacterSet {
  return (codePoint) => codePoint >= from && codePoint <= to
}

function anyOf(...sets: readonly CharacterSet[]): CharacterSet {
  return (codePoint) => sets.some((set) => set(codePoint))
}

function not(set: CharacterSet): CharacterSet {
  return (codePoint) => !set(codePoint)
}
