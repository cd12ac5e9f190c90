import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MillraceError, ValidationError } from '../../src/model/errors.ts'
import { decodeFieldTable, encodeFieldTable, maximumFieldDepth } from '../../src/model/field-table.ts'
import type { FieldTable, FieldValue } from '../../src/model/field-table.ts'
import { Random, seedOfRun } from '../std/random.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const bytesOf = (text: string): Buffer => Buffer.from(text.replaceAll(/[\s|]/g, ''), 'hex')

/** A table of one field `a`, by its type letter and the hexadecimal of its value. */
function tableOf(letter: string, value: string): Buffer {
  const field = Buffer.concat([Buffer.from(`\x01a${letter}`, 'latin1'), bytesOf(value)])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(field.length)
  return Buffer.concat([length, field])
}

const invalid = (error: unknown): boolean =>
  error instanceof MillraceError && error.code === 'INVALID_ARGUMENT'

const everything: FieldTable = {
  text: 'grüße 😀',
  empty: '',
  long: 'x'.repeat(300),
  zero: 0,
  negative: -1,
  smallest: -2_147_483_648,
  largest: 2_147_483_647,
  wide: 4_294_967_296,
  wideNegative: -9_007_199_254_740_991,
  huge: 9_223_372_036_854_775_807n,
  hugeNegative: -9_223_372_036_854_775_808n,
  fraction: 0.1,
  infinite: Infinity,
  beyondSafe: 1e300,
  yes: true,
  no: false,
  nothing: null,
  when: new Date('2024-02-29T12:00:00Z'),
  before: new Date('1960-01-01T00:00:00Z'),
  bytes: Uint8Array.of(0, 255, 128),
  noBytes: new Uint8Array(0),
  list: [1, 'two', [3, [null]], { four: 4 }, []],
  table: { nested: { deeper: { value: [true] } }, none: {} },
  '': 'a name may be empty',
}

describe('field tables', () => {
  test('every type comes back as it went in', () => {
    assert.deepEqual(decodeFieldTable(encodeFieldTable(everything)), everything)
  })

  test('the bytes are those of AMQP with the type letters of RabbitMQ', () => {
    assert.equal(hex(encodeFieldTable({})), '00000000')
    assert.equal(hex(encodeFieldTable({ a: 1 })), hex(tableOf('I', '00000001')))
    assert.equal(hex(encodeFieldTable({ a: 2 ** 31 })), hex(tableOf('l', '0000000080000000')))
    assert.equal(hex(encodeFieldTable({ a: 1n })), hex(tableOf('l', '0000000000000001')))
    assert.equal(hex(encodeFieldTable({ a: 0.5 })), hex(tableOf('d', '3fe0000000000000')))
    assert.equal(hex(encodeFieldTable({ a: 'é' })), hex(tableOf('S', '00000002 c3a9')))
    assert.equal(hex(encodeFieldTable({ a: true })), hex(tableOf('t', '01')))
    assert.equal(hex(encodeFieldTable({ a: null })), hex(tableOf('V', '')))
    assert.equal(hex(encodeFieldTable({ a: new Date(1999) })), hex(tableOf('T', '0000000000000001')))
    assert.equal(hex(encodeFieldTable({ a: Uint8Array.of(9) })), hex(tableOf('x', '00000001 09')))
    assert.equal(hex(encodeFieldTable({ a: [null, true] })), hex(tableOf('A', '00000003 56 7401')))
    assert.equal(hex(encodeFieldTable({ a: { b: null } })), hex(tableOf('F', '00000003 01 62 56')))
  })

  test('every type letter that RabbitMQ reads is read, at its width', () => {
    const cases: readonly [letter: string, value: string, expected: FieldValue][] = [
      ['t', '00', false],
      ['t', '02', true],
      ['b', 'ff', -1],
      ['B', 'ff', 255],
      ['s', 'fffe', -2],
      ['u', 'fffe', 65_534],
      ['I', 'fffffffd', -3],
      ['i', 'fffffffd', 4_294_967_293],
      ['l', 'fffffffffffffffc', -4],
      ['L', 'fffffffffffffffc', -4],
      ['l', '7fffffffffffffff', 9_223_372_036_854_775_807n],
      ['f', '3fc00000', 1.5],
      ['d', '3ff8000000000000', 1.5],
      ['D', '02 00003039', 123.45],
      ['D', '00 ffffffff', 4_294_967_295],
      ['D', 'ff 00000001', 1e-255],
      ['S', '00000002 6f6b', 'ok'],
      ['x', '00000002 6f6b', Uint8Array.of(0x6f, 0x6b)],
      ['T', '0000000065e07d40', new Date(0x65e07d40 * 1000)],
      ['T', '7fffffffffffffff', 9_223_372_036_854_775_807n],
      ['V', '', null],
      ['A', '00000007 42 01 73 0002 74 01', [1, 2, true]],
      ['F', '00000004 01 62 42 05', { b: 5 }],
    ]
    for (const [letter, value, expected] of cases) {
      assert.deepEqual(decodeFieldTable(tableOf(letter, value)), { a: expected }, `${letter} ${value}`)
    }
  })

  test('a string that is no UTF-8 is kept as bytes, and one with a true U+FFFD as text', () => {
    assert.deepEqual(decodeFieldTable(tableOf('S', '00000002 c328')), { a: Uint8Array.of(0xc3, 0x28) })
    assert.deepEqual(decodeFieldTable(tableOf('S', '00000003 efbfbd')), { a: '\ufffd' })
  })

  test('a field named __proto__ is a field and changes no prototype', () => {
    const bytes = encodeFieldTable(JSON.parse('{"__proto__": {"admin": true}, "a": 1}'))
    const table = decodeFieldTable(bytes)
    assert.equal(Object.getPrototypeOf(table), Object.prototype)
    assert.equal(table['admin'], undefined)
    assert.deepEqual(Object.keys(table), ['__proto__', 'a'])
    assert.equal(hex(encodeFieldTable(table)), hex(bytes))
  })

  test('what was read does not share memory with the bytes it was read from', () => {
    const bytes = encodeFieldTable({ a: Uint8Array.of(1, 2) })
    const table = decodeFieldTable(bytes)
    bytes.fill(0)
    assert.deepEqual(table, { a: Uint8Array.of(1, 2) })
  })

  test('fields that are undefined are left out', () => {
    assert.deepEqual(decodeFieldTable(encodeFieldTable(JSON.parse('{}', () => ({ a: undefined, b: 1 })))), {
      b: 1,
    })
  })

  test('what no field can hold is refused at the call', () => {
    const circle: Record<string, FieldValue> = {}
    circle['self'] = circle
    const unfit: readonly unknown[] = [
      { a: 2n ** 63n },
      { a: new Date(Number.NaN) },
      { a: () => 1 },
      { a: Symbol('a') },
      { a: [undefined] },
      { a: new Map([['b', 1]]) },
      { a: 'b', ['n'.repeat(256)]: 1 },
      { ['é'.repeat(128)]: 1 },
      circle,
      new Map(),
    ]
    for (const table of unfit) {
      // eslint-disable-next-line typescript/no-unsafe-type-assertion -- what a caller without types may hand over
      assert.throws(() => encodeFieldTable(table as FieldTable), ValidationError)
    }
    assert.deepEqual(
      decodeFieldTable(encodeFieldTable({ a: 1 })),
      { a: 1 },
      'the writer is clean after an error',
    )
  })

  test('a getter that encodes something of its own does not disturb the table around it', () => {
    const table = {
      before: 1,
      get inner() {
        return encodeFieldTable({ deep: 'x'.repeat(10_000) }).length
      },
      after: 2,
    }
    assert.deepEqual(decodeFieldTable(encodeFieldTable(table)), { before: 1, inner: 10_014, after: 2 })
  })

  test('nesting is limited both ways', () => {
    let value: FieldValue = 'x'
    for (let depth = 1; depth < maximumFieldDepth; depth += 1)
      value = depth % 2 === 0 ? { a: value } : [value]
    const deepest = { a: value }
    assert.deepEqual(decodeFieldTable(encodeFieldTable(deepest)), deepest)
    assert.throws(() => encodeFieldTable({ a: deepest }), invalid)
    let bytes = tableOf('V', '')
    for (let depth = 0; depth < 10_000; depth += 1) bytes = tableOf('F', hex(bytes))
    assert.throws(() => decodeFieldTable(bytes), invalid)
  })
})

describe('malformed field tables', () => {
  test('every truncation is refused', () => {
    const bytes = encodeFieldTable(everything)
    for (let length = 0; length < bytes.length; length += 1) {
      assert.throws(() => decodeFieldTable(bytes.subarray(0, length)), invalid, `${length} bytes`)
    }
  })

  test('bytes after the table, an unknown type and a length that is too long are refused', () => {
    assert.throws(() => decodeFieldTable(bytesOf('00000000 00')), invalid)
    assert.throws(() => decodeFieldTable(tableOf('Z', '00')), /type 0x5a/)
    assert.throws(() => decodeFieldTable(tableOf('S', 'ffffffff 61')), invalid)
    assert.throws(() => decodeFieldTable(tableOf('A', '00000002 53 00')), invalid)
    assert.throws(() => decodeFieldTable(bytesOf('ffffffff')), invalid)
  })

  test('mutated bytes give a table or the one error, at once', () => {
    const seed = seedOfRun()
    const random = new Random(seed)
    const original = encodeFieldTable(everything)
    for (let round = 0; round < 20_000; round += 1) {
      const bytes = Buffer.from(original)
      for (let change = random.below(4); change >= 0; change -= 1) {
        bytes[random.below(bytes.length)] = random.below(256)
      }
      try {
        const table = decodeFieldTable(bytes)
        decodeFieldTable(encodeFieldTable(table))
      } catch (error) {
        assert.ok(invalid(error), `seed ${seed}, round ${round}: ${String(error)}`)
      }
    }
  })
})
