import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Gate } from '../../src/broker/gate.ts'

function watched(): { gate: Gate; told: (string | undefined)[] } {
  const told: (string | undefined)[] = []
  return { gate: new Gate((reason) => told.push(reason)), told }
}

test('an open gate lets everyone through at once', async () => {
  const { gate, told } = watched()
  assert.equal(gate.shut, false)
  await gate.wait()
  gate.invariants()
  assert.deepEqual(told, [])
})

test('those who wait pass in the order they came, when the last reason is gone', async () => {
  const { gate, told } = watched()
  gate.set('memory', true)
  gate.set('disk full', true)
  gate.set('memory', true)
  assert.equal(gate.reason, 'memory, disk full')
  const passed: number[] = []
  const waits = [1, 2, 3].map((place) => gate.wait().then(() => passed.push(place)))
  gate.set('memory', false)
  gate.invariants()
  await Promise.resolve()
  assert.deepEqual(passed, [])
  assert.equal(gate.reason, 'disk full')
  gate.set('disk full', false)
  gate.invariants()
  await Promise.all(waits)
  assert.deepEqual(passed, [1, 2, 3])
  assert.deepEqual(told, ['memory', undefined])
})

test('a signal changes nothing about the order, and calls a wait off', async () => {
  const { gate } = watched()
  gate.set('memory', true)
  const passed: number[] = []
  const controller = new AbortController()
  const wait = async (place: number, signal?: AbortSignal): Promise<void> => {
    await gate.wait(signal)
    passed.push(place)
  }
  const called = assert.rejects(gate.wait(controller.signal), { name: 'AbortError' })
  controller.abort()
  await called
  const other = new AbortController()
  const waits = [wait(1, other.signal), wait(2), wait(3, other.signal), wait(4)]
  gate.set('memory', false)
  await Promise.all(waits)
  assert.deepEqual(passed, [1, 2, 3, 4])
})

test('it tells only of shutting and opening, not of each reason', () => {
  const { gate, told } = watched()
  gate.set('memory', false)
  gate.set('memory', true)
  gate.set('unwritten', true)
  gate.set('unwritten', false)
  gate.set('memory', false)
  gate.set('unwritten', true)
  assert.deepEqual(told, ['memory', undefined, 'unwritten'])
})

test('those who waited come before who comes when told that it is open', async () => {
  const passed: string[] = []
  const gate: Gate = new Gate((reason) => {
    if (reason === undefined) void gate.wait().then(() => passed.push('late'))
  })
  gate.set('memory', true)
  const early = gate.wait().then(() => passed.push('early'))
  gate.set('memory', false)
  await early
  await Promise.resolve()
  assert.deepEqual(passed, ['early', 'late'])
})

test('one who passes and shuts it again holds nobody who passed with him', async () => {
  const { gate } = watched()
  gate.set('memory', true)
  const first = gate.wait().then(() => gate.set('memory', true))
  const second = gate.wait()
  gate.set('memory', false)
  await Promise.all([first, second])
  assert.equal(gate.shut, true)
  gate.invariants()
})

test('a gate that failed rejects everyone who waits and everyone who comes later', async () => {
  const { gate } = watched()
  gate.set('disk full', true)
  const waits = [gate.wait(), gate.wait()]
  const error = new Error('closed')
  gate.fail(error)
  gate.fail(new Error('another'))
  for (const wait of waits) await assert.rejects(wait, error)
  await assert.rejects(gate.wait(), error)
  gate.invariants()
})
