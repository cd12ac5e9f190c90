import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changeHeaderBytes, changeHeaders } from '../../src/model/header-change.ts'
import { decodeProperties, encodeProperties } from '../../src/model/properties.ts'
import type { Properties } from '../../src/model/properties.ts'

const before: Properties = {
  contentType: 'text/plain',
  contentEncoding: 'gzip',
  headers: { a: 1, b: 'two', c: [true] },
  deliveryMode: 2,
  priority: 3,
  correlationId: 'c',
  replyTo: 'r',
  expiration: '60000',
  messageId: 'm',
  appId: 'app',
}

const change = { set: { b: 'new', d: 4n }, remove: ['a'], dropsExpiration: true }

test('bytes and objects are changed alike, whatever properties there are', () => {
  const names = Object.keys(before) as (keyof Properties)[]
  for (let mask = 0; mask < 1 << names.length; mask += 1) {
    const properties = Object.fromEntries(
      names.filter((_, index) => (mask & (1 << index)) !== 0).map((name) => [name, before[name]]),
    ) as Properties
    const bytes = changeHeaderBytes(encodeProperties(properties), change)
    const expected = decodeProperties(encodeProperties(changeHeaders(properties, change)))
    assert.deepEqual(decodeProperties(bytes), expected)
  }
})

test('what does not change stays byte for byte', () => {
  // { a: octet 7, b: octet 8 }
  const narrow = Buffer.from('2000000000080161620701626208', 'hex')
  const bytes = changeHeaderBytes(narrow, { set: {}, remove: ['a'], dropsExpiration: false })
  assert.equal(Buffer.from(bytes).toString('hex'), '20000000000401626208')
})

test('an expiration stays where it is not to go', () => {
  const kept = changeHeaderBytes(encodeProperties({ expiration: '5' }), {
    set: {},
    remove: [],
    dropsExpiration: false,
  })
  assert.deepEqual(decodeProperties(kept), { headers: {}, expiration: '5' })
})
