import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  checkBindingArguments,
  describeResource,
  equivalentArguments,
  headersMatchOf,
  inequivalent,
  knownExchangeArguments,
  knownQueueArguments,
  parseConsumerArguments,
  parseExchangeArguments,
  parseQueueArguments,
} from '../../src/model/arguments.ts'
import { MillraceError, UnsupportedError } from '../../src/model/errors.ts'
import type { FieldTable } from '../../src/model/field-table.ts'

const queue = describeResource('queue', { name: 'q', vhost: '/' })

const parse = (table: FieldTable) => parseQueueArguments(table, queue)

const failed = (message: string) => (error: unknown) => {
  assert.ok(error instanceof MillraceError)
  assert.equal(error.code, 'PRECONDITION_FAILED')
  assert.equal(error.replyCode, 406)
  assert.equal(error.message, message)
  return true
}

describe('queue arguments', () => {
  test('without any, nothing is limited and everything is off', () => {
    assert.deepEqual(parse({}), {
      type: 'classic',
      messageTtlMs: Infinity,
      expiresMs: Infinity,
      maxLength: Infinity,
      maxLengthBytes: Infinity,
      overflow: 'drop-head',
      maxPriority: 0,
      deadLetterExchange: undefined,
      deadLetterRoutingKey: undefined,
      singleActiveConsumer: false,
      deliveryLimit: Infinity,
      consumerTimeoutMs: undefined,
    })
  })

  test('each one that is known is read, and others are let be', () => {
    const settings = parse({
      'x-message-ttl': 0,
      'x-expires': 1n,
      'x-max-length': 0,
      'x-max-length-bytes': 2 ** 40,
      'x-overflow': 'reject-publish-dlx',
      'x-max-priority': 255,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'dead',
      'x-single-active-consumer': true,
      'x-delivery-limit': 3,
      'x-dead-letter-strategy': 'at-least-once',
      'x-queue-mode': 'lazy',
      'x-queue-version': 2,
      'x-queue-type': 'classic',
      'x-of-my-own': [{ anything: null }],
    })
    assert.deepEqual(settings, {
      type: 'classic',
      messageTtlMs: 0,
      expiresMs: 1,
      maxLength: 0,
      maxLengthBytes: 2 ** 40,
      overflow: 'reject-publish-dlx',
      maxPriority: 255,
      deadLetterExchange: '',
      deadLetterRoutingKey: 'dead',
      singleActiveConsumer: true,
      deliveryLimit: 3,
      consumerTimeoutMs: undefined,
    })
  })

  test('a value that is not allowed is refused in the words of RabbitMQ', () => {
    const q = "queue 'q' in vhost '/'"
    const cases: readonly [table: FieldTable, message: string][] = [
      [{ 'x-message-ttl': 'soon' }, `invalid arg 'x-message-ttl' for ${q}: "expected integer, got longstr"`],
      [{ 'x-message-ttl': -1 }, `invalid arg 'x-message-ttl' for ${q}: {value_negative,-1}`],
      [{ 'x-message-ttl': 1.5 }, `invalid arg 'x-message-ttl' for ${q}: "expected integer, got double"`],
      [{ 'x-expires': 0 }, `invalid arg 'x-expires' for ${q}: {value_zero,0}`],
      [{ 'x-expires': -1 }, `invalid arg 'x-expires' for ${q}: {value_negative,-1}`],
      [{ 'x-max-length': null }, `invalid arg 'x-max-length' for ${q}: "expected integer, got void"`],
      [
        { 'x-max-length-bytes': true },
        `invalid arg 'x-max-length-bytes' for ${q}: "expected integer, got bool"`,
      ],
      [{ 'x-overflow': 'explode' }, `invalid arg 'x-overflow' for ${q}: invalid_overflow`],
      [{ 'x-overflow': 1 }, `invalid arg 'x-overflow' for ${q}: {unacceptable_type,signedint}`],
      [{ 'x-max-priority': 256 }, `invalid arg 'x-max-priority' for ${q}: {max_value_exceeded,256}`],
      [{ 'x-max-priority': -1 }, `invalid arg 'x-max-priority' for ${q}: {value_negative,-1}`],
      [{ 'x-dead-letter-exchange': 7 }, `invalid type 'signedint' for arg 'x-dead-letter-exchange' in ${q}`],
      [
        { 'x-dead-letter-routing-key': 'k' },
        `invalid arg 'x-dead-letter-routing-key' for ${q}: routing_key_but_no_dlx_defined`,
      ],
      [
        { 'x-dead-letter-exchange': 'd', 'x-dead-letter-routing-key': [] },
        `invalid arg 'x-dead-letter-routing-key' for ${q}: {unacceptable_type,array}`,
      ],
      [
        { 'x-dead-letter-exchange': 'd', 'x-dead-letter-routing-key': 'é'.repeat(128) },
        `invalid arg 'x-dead-letter-routing-key' for ${q}: {max_bytes_exceeded,256}`,
      ],
      [
        { 'x-single-active-consumer': 'true' },
        `invalid arg 'x-single-active-consumer' for ${q}: {unacceptable_type,longstr}`,
      ],
      [{ 'x-queue-type': 'fast' }, `invalid arg 'x-queue-type' for ${q}: "unsupported queue type 'fast'"`],
      [{ 'x-queue-type': {} }, `invalid arg 'x-queue-type' for ${q}: {unacceptable_type,table}`],
      [{ 'x-queue-mode': 'eager' }, `invalid arg 'x-queue-mode' for ${q}: "unsupported queue mode 'eager'"`],
      [{ 'x-queue-version': 3 }, `invalid arg 'x-queue-version' for ${q}: "unsupported queue version '3'"`],
      [
        { 'x-dead-letter-strategy': 'x' },
        `invalid arg 'x-dead-letter-strategy' for ${q}: invalid_dlx_strategy`,
      ],
      [{ 'x-max-age': '1D' }, `invalid arg 'x-max-age' for ${q} of queue type rabbit_classic_queue`],
      [
        { 'x-queue-type': 'quorum', 'x-max-priority': 5 },
        `invalid arg 'x-max-priority' for ${q} of queue type rabbit_quorum_queue`,
      ],
    ]
    for (const [table, message] of cases) assert.throws(() => parse(table), failed(message))
  })

  test('a quorum queue is taken, and a stream refused as unsupported', () => {
    assert.equal(parse({ 'x-queue-type': 'quorum', 'x-delivery-limit': 20 }).type, 'quorum')
    assert.throws(
      () => parse({ 'x-queue-type': 'stream' }),
      (error) => error instanceof UnsupportedError && error.replyCode === 540,
    )
  })

  test('a negative delivery limit is none', () => {
    assert.equal(parse({ 'x-delivery-limit': -1 }).deliveryLimit, Infinity)
    assert.equal(parse({ 'x-delivery-limit': 0 }).deliveryLimit, 0)
  })

  test('an argument that is only inherited is none', () => {
    const table: FieldTable = Object.create({ 'x-max-length': 1 })
    assert.equal(parse(table).maxLength, Infinity)
  })
})

describe('exchange and binding arguments', () => {
  const exchange = describeResource('exchange', { name: 'e', vhost: 'v' })

  test('an alternate exchange is a name', () => {
    assert.equal(parseExchangeArguments({}, exchange).alternateExchange, undefined)
    assert.equal(parseExchangeArguments({ 'alternate-exchange': 'ae' }, exchange).alternateExchange, 'ae')
    assert.throws(
      () => parseExchangeArguments({ 'alternate-exchange': 1 }, exchange),
      failed("invalid type 'signedint' for arg 'alternate-exchange' in exchange 'e' in vhost 'v'"),
    )
  })

  test('a headers binding has one of four modes, all where none is said', () => {
    for (const match of ['all', 'any', 'all-with-x', 'any-with-x']) {
      checkBindingArguments('headers', { 'x-match': match })
      assert.equal(headersMatchOf({ 'x-match': match }), match)
    }
    checkBindingArguments('headers', {})
    assert.equal(headersMatchOf({}), 'all')
    assert.throws(
      () => checkBindingArguments('headers', { 'x-match': 'some' }),
      failed('Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x'),
    )
    assert.throws(
      () => checkBindingArguments('headers', { 'x-match': 1 }),
      failed('Invalid x-match field type signedint (value 1); expected longstr'),
    )
  })

  test('other kinds of exchange take any arguments', () => {
    checkBindingArguments('topic', { 'x-match': 'some' })
  })
})

describe('consumer arguments', () => {
  test('a priority is any integer, 0 where none is said', () => {
    assert.equal(parseConsumerArguments({}, queue).priority, 0)
    assert.equal(parseConsumerArguments({ 'x-priority': -5 }, queue).priority, -5)
    assert.throws(
      () => parseConsumerArguments({ 'x-priority': 'high' }, queue),
      failed(`invalid arg 'x-priority' for ${queue}: "expected integer, got longstr"`),
    )
  })
})

describe('declaring again', () => {
  test('known arguments are the same when their values are, whatever the width of a number', () => {
    assert.equal(
      equivalentArguments(knownQueueArguments, { 'x-max-length': 5 }, { 'x-max-length': 5n }),
      undefined,
    )
    assert.equal(
      equivalentArguments(knownQueueArguments, { 'x-max-length': 5 }, { 'x-max-length': 6 }),
      'x-max-length',
    )
    assert.equal(equivalentArguments(knownQueueArguments, { 'x-max-length': 5 }, {}), 'x-max-length')
    assert.equal(equivalentArguments(knownQueueArguments, {}, { 'x-expires': 5 }), 'x-expires')
    assert.equal(
      equivalentArguments(knownQueueArguments, { 'x-expires': 5 }, { 'x-expires': 5.5 }),
      'x-expires',
    )
    assert.equal(
      equivalentArguments(knownQueueArguments, { 'x-expires': 5 }, { 'x-expires': '5' }),
      'x-expires',
    )
  })

  test('arguments that are not known do not matter', () => {
    assert.equal(equivalentArguments(knownQueueArguments, { mine: 1 }, { mine: 2, other: 3 }), undefined)
    assert.equal(equivalentArguments(knownExchangeArguments, { 'x-expires': 1 }, {}), undefined)
    assert.equal(
      equivalentArguments(
        knownExchangeArguments,
        { 'alternate-exchange': 'a' },
        { 'alternate-exchange': 'b' },
      ),
      'alternate-exchange',
    )
  })

  test('a queue type of classic is the same as none, and quorum is not', () => {
    assert.equal(equivalentArguments(knownQueueArguments, { 'x-queue-type': 'classic' }, {}), undefined)
    assert.equal(equivalentArguments(knownQueueArguments, {}, { 'x-queue-type': 'classic' }), undefined)
    assert.equal(equivalentArguments(knownQueueArguments, {}, { 'x-queue-type': 'quorum' }), 'x-queue-type')
  })

  test('the difference is told in the words of RabbitMQ', () => {
    const difference = (current: FieldTable[string] | undefined, received: FieldTable[string] | undefined) =>
      inequivalent({ name: 'x-max-length', resource: queue, current, received }).message
    const start = "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': "
    assert.equal(difference(5, 6), `${start}received '6' but current is '5'`)
    assert.equal(
      difference(5, undefined),
      `${start}received none but current is the value '5' of type 'signedint'`,
    )
    assert.equal(
      difference(undefined, 'x'),
      `${start}received the value 'x' of type 'longstr' but current is none`,
    )
    assert.equal(difference(true, false), `${start}received 'false' but current is 'true'`)
  })
})
