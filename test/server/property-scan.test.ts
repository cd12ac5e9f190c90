/** The walk over a property list finds what decoding finds, and refuses what decoding refuses. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PropertyPlaces, scanProperties, textAt } from '../../src/server/property-scan.ts'
import { decodeProperties, encodeProperties } from '../../src/wire/index.ts'
import type { Properties } from '../../src/wire/index.ts'
import { Random, seedOfRun } from '../std/random.ts'

const samples: readonly Properties[] = [
  {},
  { deliveryMode: 2 },
  { contentType: 'application/json', contentEncoding: 'gzip', deliveryMode: 1, priority: 7 },
  { replyTo: 'r', expiration: '100', userId: 'guest', timestamp: 1, messageId: 'm', correlationId: 'c' },
  {
    headers: {
      a: 1,
      b: [1, 'x', { c: null }],
      d: 1.5,
      e: new Date(0),
      f: true,
      g: new Uint8Array(3),
      h: 2n ** 60n,
    },
  },
  { headers: { CC: ['a'] }, type: 't', appId: 'a', clusterId: 'c' },
  { headers: { nested: { BCC: ['a'] } } },
  { headers: { BCC: ['a'], priority: 1 }, priority: 255, userId: 'ü' },
]

function scan(bytes: Uint8Array, before = 0): { places: PropertyPlaces; buffer: Buffer } {
  const buffer = Buffer.concat([Buffer.alloc(before, 0xff), bytes, Buffer.alloc(3, 0xff)])
  const places = new PropertyPlaces()
  scanProperties(places, buffer, before, before + bytes.length)
  return { places, buffer }
}

test('it finds what decoding finds, wherever the list stands', () => {
  for (const properties of samples) {
    for (const before of [0, 5]) {
      const { places, buffer } = scan(encodeProperties(properties), before)
      const text = (at: number) => (at === -1 ? undefined : textAt(buffer, at))
      const octet = (at: number) => (at === -1 ? undefined : buffer[at])
      assert.equal(places.malformed, false)
      assert.equal(octet(places.deliveryMode), properties.deliveryMode)
      assert.equal(octet(places.priority), properties.priority)
      assert.equal(text(places.replyTo), properties.replyTo)
      assert.equal(text(places.expiration), properties.expiration)
      assert.equal(text(places.userId), properties.userId)
      const headers = properties.headers ?? {}
      assert.equal(places.hasCopies, 'CC' in headers || 'BCC' in headers)
    }
  }
})

test('what it lets pass can be decoded, and what it made text of encoded again', () => {
  const random = new Random(seedOfRun())
  let passed = 0
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = Buffer.from(encodeProperties(random.pick(samples)))
    for (let changes = random.below(3); changes > 0; changes -= 1)
      bytes[random.below(bytes.length)] = random.below(256)
    if (scan(bytes).places.malformed) {
      continue
    }
    passed += 1
    encodeProperties(decodeProperties(bytes))
  }
  assert.ok(passed > 1_000)
})

test('a list that is cut short is malformed at every length', () => {
  for (const properties of samples) {
    const bytes = encodeProperties(properties)
    for (let length = 0; length < bytes.length; length += 1) {
      assert.equal(scan(bytes.subarray(0, length)).places.malformed, true)
    }
  }
})

test('bytes that are no UTF-8 pass while they fit as text, and are refused beyond', () => {
  const bytes = Buffer.concat([Buffer.from([0x04, 0x00, 85]), Buffer.alloc(85, 0xff)])
  assert.equal(scan(bytes).places.malformed, false)
  const longer = Buffer.concat([Buffer.from([0x04, 0x00, 86]), Buffer.alloc(86, 0xff)])
  assert.equal(scan(longer).places.malformed, true)
})
