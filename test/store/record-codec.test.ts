import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Message } from '../../src/model/message.ts'
import { encodeFieldTable } from '../../src/model/field-table.ts'
import type { FieldTable } from '../../src/model/field-table.ts'
import type { Definition } from '../../src/model/record.ts'
import { Batch, batchHeaderBytes, readBatchHeader } from '../../src/store/batch.ts'
import { ChunkPool } from '../../src/store/chunk-pool.ts'
import { decodeDefinition, encodeDefinition } from '../../src/store/definition-codec.ts'
import {
  encodeCounts,
  encodePublished,
  encodePurge,
  encodeSeqs,
  recordHeaderBytes,
  recordType,
} from '../../src/store/record-codec.ts'
import {
  PublishedReader,
  decodeCounts,
  decodePurge,
  decodeSeqs,
  forEachRecord,
} from '../../src/store/record-reader.ts'
import { Random, seedOfRun } from '../std/random.ts'
import { entryOf } from './world.ts'

const salt = 12345

function payloadOf(fill: (batch: Batch) => void, chunkBytes = 256): Buffer {
  const batch = new Batch({ number: 7, position: 64 }, new ChunkPool(chunkBytes, 2))
  fill(batch)
  const bytes = Buffer.concat(batch.finish({ salt, syncedThrough: 6 }))
  const header = readBatchHeader(bytes, 0, salt)
  assert.ok(header)
  assert.equal(header.payloadBytes, bytes.length - batchHeaderBytes)
  assert.equal(header.number, 7)
  assert.equal(header.syncedThrough, 6)
  return bytes.subarray(batchHeaderBytes)
}

describe('a published record', () => {
  const bodies: readonly (string | Uint8Array)[] = [
    '',
    'plain',
    'grüße 😀',
    '\ud800 alone',
    Buffer.from([0, 255, 128, 10]),
    'y'.repeat(5000),
    Buffer.alloc(40_000, 'large'),
  ]
  for (const body of bodies) {
    test(`reads back as it was written: a body of ${body.length} ${typeof body === 'string' ? 'characters' : 'bytes'}`, () => {
      const message = Message.ofBytes(
        'ausgang-ä',
        'route.'.repeat(30),
        Buffer.from([0x80, 0, 3, 97, 98, 99]),
        body,
      )
      const common = { message, key: 'schlüssel', publishedAtMs: 1_712_345_678_901 }
      const entries = [
        entryOf(
          { ...common, seq: 2 ** 40, queueId: 3, lane: 255, deliveryCount: 3, expiresAtMs: 1.5e12 },
          body,
        ),
        entryOf({ ...common, seq: 2 ** 40 + 1, queueId: 300, dueAtMs: 1.8e12 + 0.25, transient: true }, body),
      ]
      const payload = payloadOf((batch) => encodePublished(batch, entries, 99))
      const reader = new PublishedReader()
      for (const wanted of entries) {
        reader.open(payload, recordHeaderBytes, payload.length)
        assert.equal(reader.supersedes, 99)
        const entry = reader.entry(wanted.seq, { countDelta: 2, recovered: true })
        assert.ok(entry)
        const { message: read, deliveryCount, recovered, ...rest } = entry
        const { message: _message, deliveryCount: count, recovered: _recovered, ...wantedRest } = wanted
        assert.deepEqual({ ...rest, stored: true }, { ...wantedRest, stored: true })
        assert.equal(deliveryCount, count + 2)
        assert.equal(recovered, true)
        assert.equal(read.exchange, message.exchange)
        assert.equal(read.routingKey, message.routingKey)
        assert.deepEqual(Buffer.from(read.propertyBytes), Buffer.from(message.propertyBytes))
        assert.deepEqual(Buffer.from(read.body), Buffer.from(body))
      }
      reader.open(payload, recordHeaderBytes, payload.length)
      assert.equal(reader.entry(5, { countDelta: 0, recovered: false }), undefined)
    })
  }

  test('a reader gives each record its own exchange and routing key', () => {
    const reader = new PublishedReader()
    const texts = ['abc', 'abd', 'ab\u00e9', 'abc', '']
    for (const text of texts) {
      const message = Message.ofBytes(text, `${text}!`, Buffer.from([0, 0]), 'x')
      const payload = payloadOf((batch) => encodePublished(batch, [entryOf({ seq: 1, message }, 'x')], 0))
      reader.open(payload, recordHeaderBytes, payload.length)
      const entry = reader.entry(1, { countDelta: 0, recovered: false })
      assert.equal(entry?.message.exchange, text)
      assert.equal(entry?.message.routingKey, `${text}!`)
    }
  })
})

test('lists of sequence numbers, purges and counts read back as they were written', () => {
  const seqs = Float64Array.from([1, 2, 127, 128, 2 ** 31, 2 ** 31 + 5, 2 ** 45, 2 ** 52])
  const settled = payloadOf((batch) => encodeSeqs(batch, recordType.settled, seqs))
  assert.deepEqual(decodeSeqs(settled, recordHeaderBytes, settled.length), seqs)
  for (const state of ['all', 'ready', 'delayed'] as const) {
    const purge = { queueId: 70000, throughSeq: 2 ** 50, state, survivors: [5, 9, 2 ** 41] }
    const payload = payloadOf((batch) => encodePurge(batch, purge))
    assert.deepEqual(decodePurge(payload, recordHeaderBytes, payload.length), purge)
  }
  const counts = new Map([
    [9, 3],
    [2, -1],
    [2 ** 40, 200],
  ])
  const counted = payloadOf((batch) => encodeCounts(batch, counts))
  assert.deepEqual(
    [...decodeCounts(counted, recordHeaderBytes, counted.length)].sort((a, b) => a[0] - b[0]),
    [...counts].sort((a, b) => a[0] - b[0]),
  )
})

test('definitions read back as they were written', () => {
  const table = { 'x-max-priority': 5, 'x-dead-letter-exchange': '', nested: { deep: ['a', true, 1.5] } }
  const binding = {
    vhost: '/',
    source: 'x',
    destination: 'q',
    destinationType: 'queue',
    routingKey: '#',
  } as const
  const all: Definition[] = [
    { type: 'vhost.declared', vhost: 'ü' },
    { type: 'vhost.deleted', vhost: '/' },
    {
      type: 'exchange.declared',
      vhost: '/',
      name: 'x',
      kind: 'topic',
      autoDelete: false,
      internal: true,
      arguments: table,
    },
    { type: 'exchange.deleted', vhost: '/', name: 'x' },
    { type: 'queue.declared', id: 4_000_000_000, vhost: '/', name: 'q', autoDelete: true, arguments: {} },
    { type: 'queue.deleted', id: 4 },
    { type: 'queue.paused', id: 4, paused: true },
    { type: 'bound', ...binding, arguments: table },
    { type: 'unbound', ...binding, arguments: {} },
    { type: 'deduplicated', queueId: 4, key: 'k', messageId: 'm', untilMs: 1_712_345_678_901 },
    {
      type: 'policy.defined',
      vhost: '/',
      name: 'p',
      operator: false,
      pattern: '^q',
      applyTo: 'all',
      priority: -1,
      definition: table,
    },
  ]
  for (const definition of all) assert.deepEqual(decodeDefinition(encodeDefinition(definition)), definition)
})

test('what is no definition is none', () => {
  const none: FieldTable[] = [
    {},
    { type: 5 },
    { type: 'toString' },
    { type: 'queue.paused', id: 4 },
    { type: 'queue.paused', id: '4', paused: true },
    { type: 'queue.declared', id: 4, vhost: '/', name: 'q', arguments: 'none' },
  ]
  for (const facts of none) assert.equal(decodeDefinition(encodeFieldTable(facts)), undefined)
})

test('bytes that are no record never hang or crash a reader', () => {
  const random = new Random(seedOfRun())
  const sound = payloadOf((batch) => {
    encodePublished(batch, [entryOf({ seq: 5, key: 'k', dueAtMs: 7, expiresAtMs: 9 })], 3)
    encodeSeqs(batch, recordType.settled, Float64Array.from([1, 5, 9]))
    encodePurge(batch, { queueId: 1, throughSeq: 9, state: 'all', survivors: [4] })
    encodeCounts(batch, new Map([[3, 1]]))
  })
  const reader = new PublishedReader()
  for (let run = 0; run < 3000; run += 1) {
    const bytes = Buffer.from(sound)
    for (let flips = 1 + random.below(4); flips > 0; flips -= 1)
      bytes[random.below(bytes.length)] = random.below(256)
    forEachRecord(bytes, () => undefined)
    for (const decode of [decodeSeqs, decodePurge, decodeCounts]) {
      const start = random.below(bytes.length)
      attempt(() => decode(bytes, start, bytes.length))
    }
    attempt(() => {
      reader.open(bytes, recordHeaderBytes, bytes.length)
      reader.entry(5, { countDelta: 0, recovered: false })
    })
  }
})

function attempt(action: () => unknown): void {
  try {
    action()
  } catch (error) {
    assert.ok(error instanceof RangeError, String(error))
  }
}
