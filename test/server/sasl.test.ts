/** How the answers of the three mechanisms are read. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mechanismsFor, readResponse } from '../../src/server/sasl.ts'
import { encodeFieldTable } from '../../src/wire/index.ts'

const ada = { type: 'password', name: 'ada', password: 'päss' }

test('PLAIN: name and password behind an authorization that is not looked at', () => {
  assert.deepEqual(readResponse('PLAIN', Buffer.from('\0ada\0päss')), ada)
  assert.deepEqual(readResponse('PLAIN', Buffer.from('other\0ada\0päss')), ada)
  for (const text of ['', 'ada', 'ada\0päss', '\0a\0b\0c']) {
    assert.equal(readResponse('PLAIN', Buffer.from(text)), undefined, JSON.stringify(text))
  }
})

test('AMQPLAIN: a table without its length', () => {
  const response = encodeFieldTable({ LOGIN: 'ada', PASSWORD: 'päss', MORE: 1 }).subarray(4)
  assert.deepEqual(readResponse('AMQPLAIN', response), ada)
  for (let length = 0; length < 20; length += 1) {
    assert.equal(readResponse('AMQPLAIN', response.subarray(0, length)), undefined)
  }
  assert.equal(readResponse('AMQPLAIN', encodeFieldTable({ LOGIN: 1, PASSWORD: 'x' }).subarray(4)), undefined)
})

test('EXTERNAL is offered to whom a certificate names', () => {
  assert.deepEqual(readResponse('EXTERNAL', Buffer.alloc(0)), { type: 'certificate' })
  assert.deepEqual(mechanismsFor(false), ['PLAIN', 'AMQPLAIN'])
  assert.deepEqual(mechanismsFor(true), ['PLAIN', 'AMQPLAIN', 'EXTERNAL'])
})
