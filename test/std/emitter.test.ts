import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Emitter } from '../../src/std/emitter.ts'

interface Events {
  opened: []
  said: [what: string, loudness: number]
  toString: []
}

describe('Emitter', () => {
  test('listeners are told in the order they were added', () => {
    const emitter = new Emitter<Events>()
    const heard: string[] = []
    emitter.on('said', (what, loudness) => heard.push(`1 ${what} ${loudness}`))
    emitter.on('said', (what) => heard.push(`2 ${what}`))
    assert.equal(emitter.emit('said', 'hello', 3), true)
    assert.deepEqual(heard, ['1 hello 3', '2 hello'])
  })

  test('an event nobody listens to says so, whatever its name', () => {
    const emitter = new Emitter<Events>()
    assert.equal(emitter.emit('opened'), false)
    assert.equal(emitter.emit('toString'), false)
    assert.equal(emitter.listenerCount('opened'), 0)
  })

  test('a listener that was taken off hears nothing', () => {
    const emitter = new Emitter<Events>()
    let count = 0
    const listener = (): void => {
      count += 1
    }
    emitter.on('opened', listener).on('opened', listener)
    assert.equal(emitter.listenerCount('opened'), 1)
    emitter.emit('opened')
    emitter.off('opened', listener).off('opened', listener)
    emitter.emit('opened')
    assert.equal(count, 1)
  })

  test('a listener for once is told once, also when it emits the event itself', () => {
    const emitter = new Emitter<Events>()
    let count = 0
    emitter.once('opened', () => {
      count += 1
      emitter.emit('opened')
    })
    emitter.emit('opened')
    emitter.emit('opened')
    assert.equal(count, 1)
  })

  test('listeners added or taken off during an event count from the next one on', () => {
    const emitter = new Emitter<Events>()
    const heard: string[] = []
    const second = (): void => void heard.push('second')
    emitter.on('opened', () => {
      heard.push('first')
      emitter.off('opened', second)
      emitter.on('opened', () => void heard.push('third'))
    })
    emitter.on('opened', second)
    emitter.emit('opened')
    assert.deepEqual(heard, ['first', 'second'])
    emitter.clear()
    emitter.emit('opened')
    assert.deepEqual(heard, ['first', 'second'])
  })

  test('a listener that throws stops neither the others nor the emitter, and its error surfaces', async () => {
    const emitter = new Emitter<Events>()
    const heard: string[] = []
    emitter.on('opened', () => {
      throw new Error('a bad listener')
    })
    emitter.on('opened', () => void heard.push('told'))
    const surfaced = await withUncaught(() => {
      assert.equal(emitter.emit('opened'), true)
    })
    assert.deepEqual(heard, ['told'])
    assert.match(String(surfaced), /a bad listener/)
  })
})

/** Runs `action` and gives the uncaught error that follows it, keeping it from the test runner. */
async function withUncaught(action: () => void): Promise<unknown> {
  const runners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  try {
    return await new Promise((resolve) => {
      process.once('uncaughtException', resolve)
      action()
    })
  } finally {
    for (const runner of runners) process.on('uncaughtException', runner)
  }
}
