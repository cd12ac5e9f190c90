import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ValidationError } from '../../src/model/errors.ts'
import {
  assertExchangeName,
  assertQueueName,
  assertRoutingKey,
  isReservedName,
  stripLineBreaks,
} from '../../src/model/names.ts'

const refused = (message: RegExp) => (error: unknown) =>
  error instanceof ValidationError && error.code === 'INVALID_NAME' && message.test(error.message)

describe('names', () => {
  test('a name has 1 to 255 bytes of UTF-8', () => {
    assertQueueName('q')
    assertQueueName('q'.repeat(255))
    assertQueueName('é'.repeat(127))
    assertExchangeName('日本'.repeat(42))
    assert.throws(() => assertQueueName(''), refused(/empty/))
    assert.throws(() => assertQueueName('q'.repeat(256)), refused(/256 bytes; shorten it to 255/))
    assert.throws(() => assertExchangeName('é'.repeat(128)), refused(/256 bytes/))
  })

  test('names that the broker keeps for itself are refused', () => {
    assert.throws(() => assertQueueName('amq.gen-1'), refused(/rename "amq.gen-1"/))
    assert.throws(() => assertExchangeName('amq.topic'), refused(/exchange names beginning 'amq\.'/))
    assertQueueName('amqp')
    assert.equal(isReservedName('amq.direct'), true)
    assert.equal(isReservedName('amq'), false)
  })

  test('what is no text is refused by name of its type', () => {
    assert.throws(() => assertQueueName(JSON.parse('7')), refused(/not number/))
    assert.throws(() => assertExchangeName(JSON.parse('null')), refused(/not null/))
    assert.throws(() => assertRoutingKey(JSON.parse('{}')), refused(/not object/))
  })

  test('names with a line break or half a character are refused, as no broker keeps them as they are', () => {
    assert.throws(() => assertQueueName('a\nb'), refused(/line break/))
    assert.throws(() => assertExchangeName('a\r'), refused(/line break/))
    assert.throws(() => assertQueueName('a\ud800'), refused(/Unicode/))
    assertQueueName('a😀')
  })

  test('a routing key may be empty and hold anything of 255 bytes at most', () => {
    assertRoutingKey('')
    assertRoutingKey('amq.a\n*.#')
    assertRoutingKey('k'.repeat(255))
    assert.throws(() => assertRoutingKey('k'.repeat(256)), refused(/256 bytes/))
    assert.throws(() => assertRoutingKey('\udc00'), refused(/Unicode/))
  })

  test('a broker strips CR and LF from names, and nothing else', () => {
    assert.equal(stripLineBreaks('\r\na\nb\r c\t'), 'ab c\t')
    assert.equal(stripLineBreaks('plain'), 'plain')
  })
})
