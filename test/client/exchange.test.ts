import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/index.ts'
import type { Client, Exchange } from '../../src/index.ts'

async function withMemory(run: (mq: Client) => Promise<void>): Promise<void> {
  const mq = await connect('memory:')
  try {
    await run(mq)
  } finally {
    await mq.close({ timeout: 50 })
  }
}

/** Starts a subscriber that is ready, and returns what it receives. */
async function subscriber(exchange: Exchange, pattern: string, options?: object): Promise<unknown[]> {
  const seen: unknown[] = []
  await exchange.subscribe(pattern, (msg) => seen.push(msg.data), options).ready
  return seen
}

test('a routing key that is none, and a setting of the wrong type, are typed errors at the call', () =>
  withMemory(async (mq) => {
    const orders = mq.exchange('orders', 'topic')
    for (const key of ['k'.repeat(256), '\ud800', undefined, null, 5, {}]) {
      await assert.rejects(orders.publish(key as string, 1), { code: 'INVALID_NAME' }, String(key))
    }
    for (const options of [null, 5, { mandatory: 'yes' }, { mandatry: true }]) {
      await assert.rejects(orders.publish('order', 1, options as object), { code: 'INVALID_OPTION' })
    }
  }))

test('what is no exchange, a name for instance, is a typed error of bind and unbind', () =>
  withMemory(async (mq) => {
    const orders = mq.exchange('orders', 'topic')
    for (const exchange of [undefined, null, 'orders', {}]) {
      for (const target of [mq.queue('q'), orders]) {
        const refused = { code: 'INVALID_OPTION', message: /exchange must be one of mq\.exchange/ }
        await assert.rejects(target.bind(exchange as never), refused, String(exchange))
        await assert.rejects(target.unbind(exchange as never), refused, String(exchange))
      }
    }
  }))

test('each subscriber without a group gets its own copy, members of a group share one', () =>
  withMemory(async (mq) => {
    const orders = mq.exchange('orders', 'topic')
    const one = await subscriber(orders, 'order.*.eu')
    const two = await subscriber(orders, 'order.#')
    const a = await subscriber(orders, '#', { group: 'billing' })
    const b = await subscriber(orders, '#', { group: 'billing' })
    for (let n = 0; n < 10; n++) await orders.publish('order.created.eu', n)
    await orders.publish('order', 'bare')
    while (one.length < 10 || two.length < 11 || a.length + b.length < 11) await sleep(2)
    // One copy too many would come now.
    await sleep(20)
    assert.equal(one.length, 10)
    assert.equal(two.length, 11)
    assert.equal(a.length + b.length, 11)
    assert.ok(a.length > 0 && b.length > 0)
  }))

test('a group catches up on what came while nobody of it was there', () =>
  withMemory(async (mq) => {
    const orders = mq.exchange('orders', 'fanout')
    const worker = orders.subscribe('', () => undefined, { group: 'billing' })
    await worker.ready
    await worker.close()
    await orders.publish('', 1)
    const seen = await subscriber(orders, '', { group: 'billing' })
    while (seen.length === 0) await sleep(2)
    assert.deepEqual(seen, [1])
  }))

test('a retry goes to that group alone', () =>
  withMemory(async (mq) => {
    const orders = mq.exchange('orders', 'fanout')
    const steady = await subscriber(orders, '', { group: 'steady' })
    const attempts: number[] = []
    await orders.subscribe(
      '',
      (msg) => {
        attempts.push(msg.attempt)
        if (msg.attempt < 3) throw new Error('again')
      },
      { group: 'shaky', backoff: { type: 'fixed', delay: 5 } },
    ).ready
    await orders.publish('', 1)
    while (attempts.length < 3) await sleep(2)
    await sleep(10)
    assert.deepEqual(attempts, [1, 2, 3])
    assert.deepEqual(steady, [1])
  }))

test('a subscriber without a group leaves nothing behind', () =>
  withMemory(async (mq) => {
    const orders = mq.exchange('orders', 'fanout')
    const worker = orders.subscribe('', () => undefined)
    await worker.ready
    assert.equal((await mq.queues()).length, 1)
    await worker.close()
    assert.deepEqual(await mq.queues(), [])
  }))

test('options of a group are refused without one', () =>
  withMemory(async (mq) => {
    const orders = mq.exchange('orders', 'fanout')
    for (const options of [{ maxLength: 1 }, { ttl: '1s' }, { deadLetter: 'graveyard' }] as const) {
      assert.throws(() => orders.subscribe('', () => undefined, options), { code: 'INVALID_OPTION' })
    }
    await orders.subscribe('', () => undefined, { maxLength: 1, group: 'billing' }).ready
  }))

test('unroutable is said, or dropped: as was asked for', () =>
  withMemory(async (mq) => {
    const orders = mq.exchange('orders', 'direct')
    assert.equal((await orders.publish('nowhere', 1)).routed, false)
    await assert.rejects(orders.publish('nowhere', 1, { mandatory: true }), { code: 'UNROUTABLE' })
    await mq.queue('audit').bind(orders, 'somewhere')
    assert.equal((await orders.publish('somewhere', 1, { mandatory: true })).routed, true)
    await mq.queue('audit').unbind(orders, 'somewhere')
    assert.equal((await orders.publish('somewhere', 1)).routed, false)
  }))

test('headers exchanges match by headers', () =>
  withMemory(async (mq) => {
    const files = mq.exchange('files', 'headers')
    const pdf = await subscriber(files, '', { headers: { type: 'pdf', 'x-match': 'all' } })
    await files.publish('', 'yes', { headers: { type: 'pdf' } })
    await files.publish('', 'no', { headers: { type: 'txt' } })
    while (pdf.length === 0) await sleep(2)
    await sleep(10)
    assert.deepEqual(pdf, ['yes'])
  }))

test('an exchange bound to another takes what that one takes', () =>
  withMemory(async (mq) => {
    const all = mq.exchange('all', 'topic')
    const eu = mq.exchange('eu', 'fanout')
    await eu.bind(all, '*.eu')
    await all.bind(eu, '')
    const seen = await subscriber(eu, '')
    await all.publish('order.eu', 1)
    await all.publish('order.us', 2)
    while (seen.length === 0) await sleep(2)
    await sleep(10)
    assert.deepEqual(seen, [1])
  }))

test('a redeclaration of another kind is a conflict and changes nothing', () =>
  withMemory(async (mq) => {
    await mq.exchange('x', 'topic').declare()
    await assert.rejects(mq.exchange('x', 'fanout').publish('', 1), { code: 'CONFLICT' })
    await mq.exchange('x', 'topic').publish('a', 1)
    assert.throws(() => mq.exchange('x', 'tropic' as 'topic'), { code: 'INVALID_OPTION' })
    assert.throws(() => mq.exchange('', 'topic'), { code: 'INVALID_NAME' })
  }))
