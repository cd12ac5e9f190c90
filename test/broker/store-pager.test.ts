/** How much of a queue stays in memory: the fuller that is, the less. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultLimits } from '../../src/broker/limits.ts'
import { StorePager } from '../../src/broker/store-pager.ts'
import type { Entry } from '../../src/model/entry.ts'
import { Store } from '../../src/store/store.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { until } from './harness.ts'

const mebibyte = 1024 * 1024

async function newPager() {
  const { store } = await Store.open(new SimulatedDisk({ random: new Random(1) }))
  const memory = { bytes: 0 }
  const answers: (readonly Entry[])[] = []
  const pager = new StorePager({
    store,
    limits: {
      ...defaultLimits,
      windowMessages: 4_096,
      windowBytes: 32 * mebibyte,
      memoryBytes: 1024 * mebibyte,
    },
    residentBytes: () => memory.bytes,
    onPaged: (_request, entries) => answers.push(entries),
    onFailed: (error) => assert.ifError(error),
  })
  return { store, memory, pager, answers }
}

test('windows are whole while little is in memory, and narrow by steps', async () => {
  const { store, memory, pager } = await newPager()
  const windows = (mebibytes: number) => {
    memory.bytes = mebibytes * mebibyte
    return [pager.windowBytes, pager.windowMessages]
  }
  assert.deepEqual(windows(0), [32 * mebibyte, 4_096])
  assert.deepEqual(windows(127), [32 * mebibyte, 4_096])
  assert.deepEqual(windows(128), [4 * mebibyte, 4_096])
  assert.deepEqual(windows(511), [4 * mebibyte, 4_096])
  assert.deepEqual(windows(512), [64 * 1024, 64])
  assert.deepEqual(windows(768), [1, 1])
  await store.close()
})

test('what was asked for counts until it has come: queues that ask at once do not each get a whole window', async () => {
  const { store, pager, answers } = await newPager()
  const ask = (queueId: number) => {
    const { windowMessages, windowBytes } = pager
    const bounds = { limit: windowMessages, limitBytes: windowBytes, generation: 0 }
    pager.loadLane({ type: 'lane', queueId, lane: 0, afterSeq: 0, ...bounds })
    return windowBytes
  }
  const given = Array.from({ length: 8 }, (_, queueId) => ask(queueId))
  assert.deepEqual(new Set(given), new Set([32 * mebibyte, 4 * mebibyte]))
  assert.equal(given.filter((bytes) => bytes === 32 * mebibyte).length, 4)
  await until(() => answers.length === given.length, 'the answers')
  assert.equal(pager.windowBytes, 32 * mebibyte)
  await store.close()
})
