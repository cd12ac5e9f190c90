/** A handler may throw anything; what comes of it is an Error with a message. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runInNewContext } from 'node:vm'
import { asError } from '../../src/client/handler-error.ts'
import { connect } from '../../src/index.ts'
import type { Job } from '../../src/index.ts'

/** An Error whose message is something else. */
function withMessage(message: unknown): Error {
  return Object.defineProperty(new Error('before'), 'message', { value: message })
}

function throwing(): never {
  throw new Error('a getter that fails')
}

const odd: readonly [name: string, thrown: unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['a symbol', Symbol('odd')],
  ['an object without prototype', Object.create(null)],
  ['an object that cannot be written', { toString: throwing }],
  ['an Error whose message is an object', withMessage({ code: 7 })],
  ['an Error without a message', withMessage(undefined)],
  ['an Error whose message cannot be read', Object.defineProperty(new Error(), 'message', { get: throwing })],
  [
    'an Error whose message is an object that cannot be written',
    withMessage({ toString: throwing, toJSON: throwing }),
  ],
  ['a proxy that refuses everything', new Proxy({}, { get: throwing, getPrototypeOf: throwing })],
]

for (const [name, thrown] of odd) {
  test(`${name} becomes an Error that says so, and has it as its cause`, () => {
    const error = asError(thrown) as Error & { code: string }
    assert.equal(error.code, 'HANDLER_FAILED')
    assert.equal(typeof error.message, 'string')
    assert.ok(error.message.length > 10)
    assert.equal(error.cause, thrown)
  })
}

test('an Error stays what it is, one of another realm too', () => {
  for (const error of [new Error('plain'), new RangeError(''), runInNewContext("new TypeError('far')")]) {
    assert.equal(asError(error), error)
  }
})

test('what an odd message says is kept', () => {
  assert.match(asError(withMessage({ code: 7 })).message, /\{"code":7\}/)
  assert.match(asError(withMessage('')).message, /^$/)
  assert.match(asError(Symbol('odd')).message, /Symbol\(odd\)/)
})

test('a job whose handler throws it is tried again, and dead-lettered in the end with what it said', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue('q', { attempts: 2, backoff: () => 0 })
  const retried: string[] = []
  const dead = new Promise<[Job, Error]>((resolve) => {
    queue
      .work(() => {
        throw withMessage({ code: 7 })
      })
      .on('retrying', (_job, error) => retried.push(error.message))
      .on('dead', (job, error) => resolve([job, error]))
  })
  await queue.send(1)
  const [, error] = await dead
  assert.deepEqual(retried, [error.message])
  const [letter] = await queue.browse({ state: 'dead' })
  assert.equal(letter?.headers['x-millrace-error'], error.message)
})
