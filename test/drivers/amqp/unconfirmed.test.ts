/** Confirms find their messages, in whatever order and however many at a time; returns find theirs without a tag. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Unconfirmed } from '../../../src/drivers/amqp/unconfirmed.ts'
import type { Shipment, Verdict } from '../../../src/drivers/amqp/unconfirmed.ts'
import type { Wire } from '../../../src/drivers/amqp/envelope.ts'
import { Random } from '../../std/random.ts'

function wire(routingKey: string, messageId?: string): Wire {
  const fields = messageId === undefined ? {} : { messageId }
  return { exchange: '', routingKey, content: Buffer.from('body'), fields }
}

interface Watched extends Shipment {
  done: boolean
}

function shipment(...wires: readonly Wire[]): Watched {
  const made: Watched = {
    wires,
    verdicts: wires.map((): Verdict | undefined => undefined),
    undecided: wires.length,
    done: false,
    settled: () => (made.done = true),
  }
  return made
}

function sent(...wires: readonly Wire[]): { unconfirmed: Unconfirmed; one: Watched } {
  const unconfirmed = new Unconfirmed()
  const one = shipment(...wires)
  for (const index of wires.keys()) unconfirmed.add(one, index)
  return { unconfirmed, one }
}

test('a confirm of one message decides that one', () => {
  const { unconfirmed, one } = sent(wire('a'), wire('b'), wire('c'))
  unconfirmed.confirm(2, false, 'stored')
  assert.deepEqual(one.verdicts, [undefined, 'stored', undefined])
  unconfirmed.confirm(3, false, 'refused')
  assert.equal(one.done, false)
  unconfirmed.confirm(1, false, 'stored')
  assert.deepEqual(one.verdicts, ['stored', 'stored', 'refused'])
  assert.equal(one.done, true)
  assert.deepEqual([unconfirmed.count, unconfirmed.bytes], [0, 0])
})

test('a confirm of several decides all up to it that are undecided', () => {
  const { unconfirmed, one } = sent(wire('a'), wire('b'), wire('c'), wire('d'))
  unconfirmed.confirm(2, false, 'refused')
  unconfirmed.confirm(3, true, 'stored')
  assert.deepEqual(one.verdicts, ['stored', 'refused', 'stored', undefined])
  unconfirmed.invariants()
})

test('a returned message stays returned when it is confirmed', () => {
  const { unconfirmed, one } = sent(wire('there'), wire('nowhere', '1'), wire('there'))
  unconfirmed.returned({ exchange: '', routingKey: 'nowhere', messageId: '1' })
  unconfirmed.confirm(3, true, 'stored')
  assert.deepEqual(one.verdicts, ['stored', 'returned', 'stored'])
})

test('of equal messages, each return takes the next', () => {
  const { unconfirmed, one } = sent(wire('q'), wire('q'), wire('q'))
  const address = { exchange: '', routingKey: 'q', messageId: undefined }
  unconfirmed.returned(address)
  unconfirmed.returned(address)
  unconfirmed.confirm(3, true, 'stored')
  assert.deepEqual(one.verdicts, ['returned', 'returned', 'stored'])
})

test('returns of another address or id leave a message alone', () => {
  const { unconfirmed, one } = sent(wire('q', '1'))
  unconfirmed.returned({ exchange: '', routingKey: 'q', messageId: '2' })
  unconfirmed.returned({ exchange: 'x', routingKey: 'q', messageId: '1' })
  unconfirmed.confirm(1, false, 'stored')
  assert.deepEqual(one.verdicts, ['stored'])
})

test('abandoned messages get their verdict, and tags begin anew', () => {
  const { unconfirmed, one } = sent(wire('a'), wire('b'))
  unconfirmed.confirm(1, false, 'stored')
  const lost = new Error('lost')
  unconfirmed.abandon(() => lost)
  assert.deepEqual(one.verdicts, ['stored', lost])
  const next = shipment(wire('c'))
  unconfirmed.add(next, 0)
  unconfirmed.confirm(1, false, 'stored')
  assert.deepEqual(next.verdicts, ['stored'])
  unconfirmed.invariants()
})

test('any order of confirms and returns decides each message once', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const random = new Random(seed)
    const unconfirmed = new Unconfirmed()
    const all: Watched[] = []
    const open = new Set<number>()
    let tag = 0
    for (let step = 0; step < 6_000; step += 1) {
      if (random.below(2) === 0 || open.size === 0) {
        const one = shipment(wire(`q${random.below(3)}`))
        unconfirmed.add(one, 0)
        all.push(one)
        open.add((tag += 1))
      } else if (random.below(20) === 0) {
        unconfirmed.confirm(tag, true, 'stored')
        open.clear()
      } else {
        const chosen = [...open][random.below(open.size)] as number
        unconfirmed.confirm(chosen, false, 'stored')
        open.delete(chosen)
      }
      assert.equal(unconfirmed.count, open.size, `seed ${seed}`)
    }
    unconfirmed.confirm(tag, true, 'stored')
    unconfirmed.invariants()
    assert.ok(
      all.every((one) => one.done && one.undecided === 0),
      `seed ${seed}`,
    )
  }
})

test('of two under way with one id and one key, the later one is the duplicate', () => {
  const { unconfirmed, one } = sent(wire('a', 'm'), wire('a', 'm'))
  unconfirmed.returned({ exchange: '', routingKey: 'a', messageId: 'm' }, { duplicateOf: 'm' })
  unconfirmed.confirm(2, true, 'stored')
  assert.deepEqual(one.verdicts, ['stored', { duplicateOf: 'm' }])
})

test('both may be duplicates of one that was stored before', () => {
  const { unconfirmed, one } = sent(wire('a', 'm'), wire('a', 'm'))
  const address = { exchange: '', routingKey: 'a', messageId: 'm' }
  for (const _ of one.wires) unconfirmed.returned(address, { duplicateOf: 'm' })
  unconfirmed.confirm(2, true, 'stored')
  assert.deepEqual(one.verdicts, [{ duplicateOf: 'm' }, { duplicateOf: 'm' }])
})

test('a duplicate comes back with the id of the message that is stored', () => {
  const { unconfirmed, one } = sent(wire('a', 'm1'), wire('a', 'm2'))
  unconfirmed.returned({ exchange: '', routingKey: 'a', messageId: 'm2' }, { duplicateOf: 'm0' })
  unconfirmed.confirm(2, true, 'stored')
  assert.deepEqual(one.verdicts, ['stored', { duplicateOf: 'm0' }])
})
