/** Regular expressions in bounded time: they find what JavaScript's own find, and never take long. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RegularExpression } from '../../src/std/regular-expression.ts'
import { Random } from './random.ts'

function randomSource(random: Random, depth: number): string {
  const atoms = [
    'a',
    'b',
    'c',
    '.',
    '[ab]',
    '[^a]',
    '[a-b]',
    '\\w',
    '\\W',
    '^',
    '$',
    '\\b',
    '\\B',
    'A',
    '(?:)',
  ]
  const parts: string[] = []
  for (let count = 1 + random.below(4); count > 0; count -= 1) {
    let part = atoms[random.below(atoms.length)]!
    if (depth > 0 && random.below(3) === 0) {
      part = `${['(', '(?:', '(?=', '(?!'][random.below(4)]}${randomSource(random, depth - 1)})`
    }
    const isEdge = /^(\^|\$|\\[bB]|\(\?[=!].*)$/s.test(part)
    if (!isEdge && random.below(3) === 0)
      part += ['*', '+', '?', '{2}', '{1,3}', '{0,}', '*?', '+?'][random.below(8)]
    parts.push(part)
    if (random.below(6) === 0) parts.push('|')
  }
  return parts.join('')
}

describe('matching', () => {
  test('finds what JavaScript’s own expressions find', () => {
    for (let seed = 1; seed <= 3000; seed += 1) {
      const random = new Random(seed)
      const source = randomSource(random, 2)
      const own = new RegularExpression(source)
      const theirs = new RegExp(source)
      for (let round = 0; round < 8; round += 1) {
        const text = Array.from({ length: random.below(7) }, () => 'abcA -'[random.below(6)]).join('')
        assert.equal(own.test(text), theirs.test(text), `seed ${seed}: /${source}/ in '${text}'`)
      }
    }
  })

  test('an expression that goes back for ever elsewhere takes a moment', () => {
    const text = `${'a'.repeat(254)}!`
    for (const source of [
      '^(a+)+$',
      '^(a|aa)+$',
      '^(a|a)*$',
      '(.*)*(.*)*(.*)*[^!]$',
      '^(([a-z])+.)+[A-Z]([a-z])+$',
    ]) {
      assert.equal(new RegularExpression(source).test(text), false, source)
    }
  })

  test('what takes too many steps is not found', () => {
    const nested = `${'(?=(.*)*'.repeat(40)}x${')'.repeat(40)}`
    assert.equal(new RegularExpression(nested).test('a'.repeat(2000)), false)
  })

  const found: readonly (readonly [source: string, yes: string, no: string])[] = [
    ['(?i)^queue', 'QUEUE.1', 'my queue'],
    ['a(?i)b|c', 'aB', 'A'],
    ['(?i:a)b', 'Ab', 'AB'],
    ['(?i-i:a)(?-i)b', 'ab', 'AB'],
    ['(?i)[a-c]\\x41', 'Ba', 'da'],
    ['(?s)a.b', 'a\nb', 'a\n\nb'],
    ['a.b', 'axb', 'a\nb'],
    ['(?m)^b$', 'a\nb\nc', 'ab'],
    ['\\Ab\\z', 'b', 'b\n'],
    ['b$', 'b\n', 'b\n\n'],
    ['b\\Z', 'b\n', 'ba'],
    ['^(?!amq\\.).*', 'orders', 'amq.topic'],
    ['^\\Qa.b\\E$', 'a.b', 'axb'],
    ['\\Q(', '(', ')'],
    ['^[[:alpha:]_]+$', 'a_Z', 'a1'],
    ['^[[:^digit:]]$', 'a', '1'],
    ['^[[:punct:]]$', '#', 'a'],
    ['^[]a]+$', ']a', 'b'],
    ['^[^]a]$', 'b', ']'],
    ['^[a\\-z]$', '-', 'b'],
    ['^[a-]$', '-', 'b'],
    ['^[\\d\\b]$', '\b', 'b'],
    ['^\\p{Lu}\\P{Lu}\\pL$', 'Äää', 'äÄÄ'],
    ['^\\p{^Lu}$', 'ä', 'Ä'],
    ['^\\x{1F600}\\u0041\\x42\\0$', '😀AB\0', 'AB'],
    ['^.$', '😀', 'ab'],
    ['^\\s\\S\\h\\H\\v\\V\\N\\D\\n\\r\\t$', ' a a\nbxa\n\r\t', ' '],
    ['^a{,3}$', 'a{,3}', 'aa'],
    ['^a{2$', 'a{2', 'aa'],
    ["^(?<name>a)(?P<other>b)(?'third'c)$", 'abc', 'ab'],
    ['^(a|b){2,3}$', 'abb', 'a'],
    ['^(a?){3}$', 'aa', 'aaaa'],
    ['^a.b$', 'a-b', 'a--b'],
    ['^\\/\\.$', '/.', '/a'],
  ]
  for (const [source, yes, no] of found) {
    test(`/${source}/ means what it means in Perl`, () => {
      const expression = new RegularExpression(source)
      assert.equal(expression.source, source)
      assert.equal(expression.test(yes), true)
      assert.equal(expression.test(no), false)
    })
  }
})

describe('what is no expression, or cannot be matched so, is refused', () => {
  const refused = [
    ['(', /missing closing/],
    [')', /unmatched closing/],
    ['*a', /does not follow/],
    ['a|+', /does not follow/],
    ['[a', /missing terminating/],
    ['[b-a]', /out of order/],
    ['[a-\\d]', /invalid range/],
    ['[[:nothing:]]', /unknown POSIX/],
    ['[[:constructor:]]', /unknown POSIX/],
    ['a{3,2}', /out of order/],
    ['a{70000}', /too big/],
    ['a++', /possessive/],
    ['(a)\\1', /not supported/],
    ['(?<=a)b', /not supported/],
    ['(?>a)', /not supported/],
    ['(?x)a', /flags/],
    ['\\p{Nothing}', /unknown property/],
    ['\\G', /not supported/],
    ['a\\', /ends too early/],
    ['((((a{100}){100}){100}){100}){100}', /too large/],
    ['(((((){60000}){60000}){60000}){60000}){60000}', /too large/],
    ['('.repeat(200), /too deeply/],
  ] as const
  for (const [source, why] of refused) {
    test(`/${source.slice(0, 40)}/`, () => {
      assert.throws(() => new RegularExpression(source), { name: 'SyntaxError', message: why })
    })
  }
})
