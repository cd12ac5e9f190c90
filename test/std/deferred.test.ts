import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Deferred } from '../../src/std/deferred.ts'

describe('Deferred', () => {
  test('the first end that is called decides', async () => {
    const deferred = new Deferred<number>()
    deferred.resolve(1)
    deferred.resolve(2)
    deferred.reject(new Error('too late'))
    assert.equal(await deferred.promise, 1)
  })

  test('a rejection reaches the one who waits', async () => {
    const deferred = new Deferred<number>()
    deferred.reject(new Error('no'))
    await assert.rejects(deferred.promise, /^Error: no$/)
  })
})
