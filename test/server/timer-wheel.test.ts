/** The wheel: everybody is looked at when it is time, whoever comes, goes or comes late. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TimerWheel } from '../../src/server/timer-wheel.ts'
import type { WheelTask } from '../../src/server/timer-wheel.ts'
import { Random, seedOfRun } from '../std/random.ts'

const tickMs = 100

function setUp() {
  const clock = { nowMs: 1_000_000 }
  const wheel = new TimerWheel(tickMs, () => clock.nowMs)
  const pass = (ms: number) => {
    clock.nowMs += ms
    wheel.turn(clock.nowMs)
  }
  return { clock, wheel, pass }
}

class Task implements WheelTask {
  slot = -1
  readonly looks: number[] = []
  readonly next: (nowMs: number) => number

  constructor(next: (nowMs: number) => number) {
    this.next = next
  }

  due(nowMs: number): number {
    this.looks.push(nowMs)
    return this.next(nowMs)
  }
}

test('a task is looked at in its time, within a tick, and no more when it wants that', () => {
  const { clock, wheel, pass } = setUp()
  const startMs = clock.nowMs
  const task = new Task(() => Infinity)
  wheel.add(task, startMs + 550)
  for (let turn = 0; turn < 100; turn += 1) pass(tickMs)
  assert.equal(task.looks.length, 1)
  assert.ok(Math.abs(task.looks[0]! - startMs - 550) <= tickMs)
  assert.equal(wheel.size, 0)
})

test('times beyond one turn of the wheel, and a clock that stood still', () => {
  const { clock, wheel, pass } = setUp()
  const far = new Task(() => Infinity)
  const wantedMs = clock.nowMs + tickMs * 5_000
  wheel.add(far, wantedMs)
  while (clock.nowMs + tickMs * 8 < wantedMs) pass(tickMs * 7)
  assert.deepEqual(far.looks, [])
  pass(tickMs * 20_000)
  assert.equal(far.looks.length, 1)
})

test('a task that is taken away, or set anew, is not looked at at its old time', () => {
  const { clock, wheel, pass } = setUp()
  const gone = new Task(() => Infinity)
  const later = new Task(() => Infinity)
  const taker = new Task(() => {
    wheel.remove(gone)
    return Infinity
  })
  wheel.add(taker, clock.nowMs + 200)
  wheel.add(gone, clock.nowMs + 200)
  wheel.add(later, clock.nowMs + 200)
  wheel.add(later, clock.nowMs + 2_000)
  pass(1_000)
  assert.deepEqual([gone.looks.length, later.looks.length, wheel.size], [0, 0, 1])
  pass(1_100)
  assert.equal(later.looks.length, 1)
  wheel.remove(later)
  assert.equal(wheel.size, 0)
})

test('many tasks with intervals of their own: each comes as often as it asks for', () => {
  const random = new Random(seedOfRun())
  const { clock, wheel, pass } = setUp()
  const tasks = Array.from({ length: 500 }, () => {
    const everyMs = tickMs * (1 + random.below(2_000))
    return { everyMs, task: new Task((nowMs) => nowMs + everyMs) }
  })
  for (const { everyMs, task } of tasks) wheel.add(task, clock.nowMs + everyMs)
  const spanMs = tickMs * 10_000
  const endMs = clock.nowMs + spanMs
  while (clock.nowMs < endMs) pass(tickMs)
  for (const { everyMs, task } of tasks) {
    const expected = Math.floor(spanMs / everyMs)
    assert.ok(Math.abs(task.looks.length - expected) <= 1, `${task.looks.length} looks, not ${expected}`)
  }
  wheel.close()
})

test('its own timer wakes it for the next that is due, also if that came later, and not in between', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let nowMs = 1_000_000
  let asked = 0
  const wheel = new TimerWheel(tickMs, () => {
    asked += 1
    return nowMs
  })
  const seen: number[] = []
  const task = (): Task =>
    new Task((atMs) => {
      seen.push(atMs - 1_000_000)
      return Infinity
    })
  wheel.add(task(), nowMs + 3_000)
  wheel.add(task(), nowMs + 60_000)
  wheel.add(task(), nowMs + 1_000)
  asked = 0
  for (let step = 0; step < 800; step += 1) {
    nowMs += tickMs
    t.mock.timers.tick(tickMs)
  }
  assert.deepEqual(seen, [1_000, 3_000, 60_000])
  assert.ok(asked < 50, `${asked} times`)
  assert.equal(wheel.size, 0)
})
