import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../src/broker/clock.ts'
import { Turns } from '../sim/turns.ts'
import { connectTo, memoryBroker, until } from './harness.ts'

test('the clock starts at the wall clock', () => {
  const wallMs = 1_800_000_000_000
  const wall = mock.method(Date, 'now', () => wallMs)
  try {
    const beforeMs = performance.now()
    const aheadMs = systemClock().nowMs() - wallMs
    assert.ok(aheadMs >= 0 && aheadMs <= performance.now() - beforeMs, `${aheadMs} ms`)
  } finally {
    wall.mock.restore()
  }
})

test('when the wall clock jumps, an hour on or back, time goes on as if it had not', async () => {
  for (const jumpMs of [3_600_000, -3_600_000]) {
    const clock = systemClock()
    const fromMs = performance.now()
    const beforeMs = clock.nowMs()
    const wallMs = Date.now()
    const wall = mock.method(Date, 'now', () => wallMs + jumpMs)
    try {
      await sleep(5)
      const passedMs = clock.nowMs() - beforeMs
      assert.ok(passedMs >= 3 && passedMs <= performance.now() - fromMs + 1, `${passedMs} ms`)
    } finally {
      wall.mock.restore()
    }
  }
})

test('it never goes back', () => {
  const clock = systemClock()
  let lastMs = clock.nowMs()
  for (let reading = 0; reading < 10_000; reading += 1) {
    const nowMs = clock.nowMs()
    assert.ok(nowMs >= lastMs)
    lastMs = nowMs
  }
})

test('a timer longer than 32 bits of milliseconds does not fire at once, and can be called off', async () => {
  const clock = systemClock()
  let fired = 0
  const callOff = clock.after(365 * 86_400_000, () => (fired += 1))
  await sleep(10)
  assert.equal(fired, 0)
  callOff()
  clock.after(-5, () => (fired += 1))
  while (fired === 0) await sleep(2)
  assert.equal(fired, 1)
})

test('a message held back for years is delivered when it is due, over timers that are shorter', async () => {
  const clock = new Turns(1_800_000_000_000)
  const broker = memoryBroker({ clock })
  const { session, holder, consume } = connectTo(broker)
  const year = 365 * 86_400_000
  consume()
  const { Message } = await import('../../src/model/message.ts')
  const extras = {
    persistent: true,
    priority: 0,
    mandatory: false,
    delayMs: 2 * year,
    ttlMs: Infinity,
    key: '',
    dedupe: undefined,
    hasHeaders: false,
  }
  session.publish(Message.of('', 'q', {}, 'late'), extras, broker.nowMs())
  broker.wake()
  const turns = async (): Promise<void> => {
    const { Random } = await import('../std/random.ts')
    const random = new Random(1)
    while (clock.runOne(random)) await Promise.resolve()
  }
  await turns()
  clock.advance(2 * year - 1)
  await turns()
  assert.equal(holder.deliveries.length, 0)
  broker.invariants()
  clock.advance(1)
  await turns()
  await until(() => holder.deliveries.length === 1, 'the delivery')
  broker.invariants()
})

test('soon lets input and output through in between', async () => {
  const clock = systemClock()
  const order: string[] = []
  clock.soon(() => order.push('soon'))
  await Promise.resolve()
  order.push('microtask')
  while (order.length < 2) await sleep(1)
  assert.deepEqual(order, ['microtask', 'soon'])
})
