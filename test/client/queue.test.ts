import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/index.ts'
import type { Client, Job } from '../../src/index.ts'

async function withMemory(run: (mq: Client) => Promise<void>): Promise<void> {
  const mq = await connect('memory:')
  try {
    await run(mq)
  } finally {
    await mq.close({ timeout: 50 })
  }
}

test('connect refuses what is no URL, or of no engine, and says what to write', async () => {
  for (const url of ['', 'data', './data', '/data', 'file', undefined, 5, {}]) {
    await assert.rejects(connect(url as string), { code: 'INVALID_URL' }, String(url))
  }
  for (const url of [
    'file:',
    'file://',
    'file:./d?sink=os',
    'file:./d?sync=never',
    'memory:a/b',
    'memory:?x=1',
  ]) {
    await assert.rejects(connect(url), { code: 'INVALID_URL' }, url)
  }
  await assert.rejects(connect('kafka://host'), { code: 'UNKNOWN_SCHEME', message: /memory:.*file:/ })
  await assert.rejects(connect('memory:', { namespcae: 'x' } as object), {
    code: 'INVALID_OPTION',
    message: /namespace/,
  })
})

test('a namespace is text of 1 to 255 bytes', async () => {
  for (const namespace of ['', 'n'.repeat(256), 7 as unknown as string]) {
    await assert.rejects(connect('memory:', { namespace }), { code: 'INVALID_OPTION' })
  }
})

test('names are checked at the call', () =>
  withMemory(async (mq) => {
    for (const name of ['', 'amq.queue', 'x'.repeat(256), 'ü'.repeat(128), 5 as unknown as string]) {
      assert.throws(() => mq.queue(name), { code: 'INVALID_NAME' }, name)
    }
    await assert.rejects(mq.queue('x'.repeat(253)).send(1), { code: 'INVALID_NAME', message: /dead-letter/ })
    await mq.queue('x'.repeat(250)).send(1)
    await mq.queue('x'.repeat(255), { deadLetter: false }).send(1)
  }))

test('bad send options are refused and nothing is stored', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    const wrong = [
      { delay: -1 },
      { delay: NaN },
      { delay: '5y' },
      { delay: '4000d' },
      { at: new Date(NaN) },
      { at: new Date(8e15) },
      { delay: 1, at: new Date() },
      { priority: 256 },
      { ttl: '-1s' },
      { id: '' },
      { key: 'k'.repeat(256) },
      { headers: [] },
      { dedupe: { key: 'a' } },
      { dedupe: { key: 'a', window: 'long' } },
      { unknown: 1 },
    ]
    for (const options of wrong) {
      await assert.rejects(
        queue.send(1, options as object),
        { code: 'INVALID_OPTION' },
        JSON.stringify(options),
      )
    }
    for (const data of [undefined, () => 1, 1n]) {
      await assert.rejects(queue.send(data), { code: 'UNSERIALIZABLE' })
    }
    await assert.rejects(queue.sendMany([1, undefined, 3]), { code: 'UNSERIALIZABLE' })
    await assert.rejects(queue.sendMany('no' as unknown as unknown[]), { code: 'INVALID_OPTION' })
    assert.equal((await queue.stats()).published, 0)
  }))

test('options of a job, of closing and of looking are checked too', () =>
  withMemory(async (mq) => {
    const queue = mq.queue<number>('q')
    await queue.send(1)
    const refused = { code: 'INVALID_OPTION' }
    for await (const job of queue.consume()) {
      assert.throws(() => job.retry({ dealy: '1s' } as object), refused)
      assert.throws(() => job.release({ delay: -1 }), refused)
      assert.throws(() => job.dead({ why: 'no' } as unknown as string), refused)
      assert.equal(await job.ack(), true)
      break
    }
    const worker = queue.work(() => undefined)
    assert.throws(() => worker.close({ timout: '1s' } as object), refused)
    await worker.close({ timeout: '1s' })
    await assert.rejects(queue.dead.browse({ limit: 0 }), refused)
    const orders = mq.exchange('orders', 'fanout')
    await assert.rejects(queue.unbind(orders, '', { header: {} } as object), refused)
  }))

test('a delayed message is not early, shows in browse with its time, and can be called off', () =>
  withMemory(async (mq) => {
    const queue = mq.queue<string>('q')
    await queue.send('tomorrow', { delay: '1d' })
    const { id } = await queue.send('never', { delay: '1h' })
    const delayed = await queue.browse({ state: 'delayed' })
    assert.deepEqual(delayed.map((job) => job.data).sort(), ['never', 'tomorrow'])
    assert.ok(delayed.every((job) => job.dueAt !== undefined))
    assert.equal(await queue.cancel(id), true)
    assert.equal(await queue.cancel(id), false)
    const begun = performance.now()
    await queue.send('later', { delay: 60 })
    for await (const job of queue.consume()) {
      assert.ok(performance.now() - begun >= 59)
      assert.equal(job.data, 'later')
      await job.ack()
      break
    }
    assert.equal((await queue.stats()).delayed, 1)
  }))

test('a duplicate inside the window resolves with the first id and is not stored', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    const dedupe = { key: 'order-1', window: '1h' } as const
    const first = await queue.send(1, { dedupe })
    const [second, third] = await Promise.all([queue.send(2, { dedupe }), queue.send(3, { dedupe })])
    assert.deepEqual([first.duplicate, second.duplicate, third.duplicate], [false, true, true])
    assert.equal(second.id, first.id)
    assert.equal((await queue.stats()).ready, 1)
  }))

test('after the window a duplicate is stored, and not before', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    const dedupe = { key: 'order-1', window: 60 }
    const begun = performance.now()
    await queue.send(1, { dedupe })
    while ((await queue.send(2, { dedupe })).duplicate) await sleep(2)
    assert.ok(performance.now() - begun >= 59)
    assert.equal((await queue.stats()).ready, 2)
  }))

test('pull style: leaving the loop hands back what was not taken; each outcome does what it says', () =>
  withMemory(async (mq) => {
    const queue = mq.queue<string>('q')
    await queue.sendMany(['ack', 'retry', 'release', 'dead', 'rest'])
    const attempts: string[] = []
    for await (const job of queue.consume({ prefetch: 10 })) {
      attempts.push(`${job.data} ${job.attempt}`)
      if (job.data === 'rest') {
        await job.release()
        break
      }
      if (job.data === 'ack') assert.equal(await job.ack(), true)
      if (job.data === 'retry') await job.retry({ delay: '1h' })
      if (job.data === 'release') await job.release({ delay: '1h' })
      if (job.data === 'dead') await job.dead('bad address')
      assert.equal(await job.ack(), false)
    }
    assert.deepEqual(attempts, ['ack 1', 'retry 1', 'release 1', 'dead 1', 'rest 1'])
    const delayed = await queue.browse({ state: 'delayed' })
    assert.deepEqual(delayed.map((job) => [job.data, job.attempt]).sort(), [
      ['release', 1],
      ['retry', 2],
    ])
    const [dead] = await queue.dead.browse()
    assert.equal(dead?.headers['x-millrace-reason'], 'bad address')
    assert.deepEqual(
      (await queue.browse()).map((job) => [job.data, job.attempt]),
      [['rest', 1]],
    )
  }))

test('an aborted iteration throws ABORTED and gives the messages back', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    await queue.send(1)
    const controller = new AbortController()
    const iterate = async (): Promise<void> => {
      for await (const job of queue.consume({ signal: controller.signal })) {
        await job.ack()
        controller.abort()
      }
    }
    await assert.rejects(iterate(), { code: 'ABORTED' })
    assert.equal((await queue.stats()).consumers, 0)
  }))

test('a queue deleted by others is declared anew by the next send', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    await queue.send(1)
    await mq.queue('q').delete()
    const other = await queue.send(2)
    assert.ok(other.id !== '')
    assert.equal((await queue.stats()).ready, 1)
  }))

test('delete with ifEmpty refuses a queue that holds messages', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    await queue.send(1)
    await assert.rejects(queue.delete({ ifEmpty: true }), { code: 'PRECONDITION_FAILED' })
    assert.equal(await queue.purge(), 1)
    await queue.delete({ ifEmpty: true })
    assert.deepEqual(await mq.queues(), ['q.dead'])
  }))

test('a paused queue takes and does not give', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    await queue.pause()
    const seen: unknown[] = []
    queue.work((job) => seen.push(job.data))
    await queue.send(1)
    await sleep(20)
    assert.deepEqual(seen, [])
    assert.equal((await queue.stats()).paused, true)
    await queue.resume()
    while (seen.length === 0) await sleep(2)
    assert.deepEqual(seen, [1])
  }))

test('an abort settles a send once', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    await assert.rejects(queue.send(1, { signal: AbortSignal.abort() }), { code: 'ABORTED' })
    const controller = new AbortController()
    const sending = queue.send(2, { signal: controller.signal })
    await sending
    controller.abort()
    assert.equal((await queue.stats()).ready, 1)
  }))

test('after close every call is refused with CLOSED', async () => {
  const mq = await connect('memory:')
  const queue = mq.queue('q')
  await queue.send(1)
  await mq.close()
  await mq.close()
  await assert.rejects(queue.send(2), { code: 'CLOSED' })
  await assert.rejects(queue.stats(), { code: 'CLOSED' })
  await assert.rejects(mq.request('r', 1), { code: 'CLOSED' })
  assert.throws(() => queue.work(() => undefined), { code: 'CLOSED' })
})

test('memory:name is shared within the process, memory: is not, and namespaces are apart', async () => {
  const [one, two, own, apart] = await Promise.all([
    connect('memory:shared'),
    connect('memory:shared'),
    connect('memory:'),
    connect('memory:shared', { namespace: 'other' }),
  ])
  await one.queue('q').send(1)
  assert.equal((await two.queue('q').stats()).ready, 1)
  assert.deepEqual(await own.queues(), [])
  assert.deepEqual(await apart.queues(), [])
  await Promise.all([one.close(), two.close(), own.close(), apart.close()])
})

test('sendMany gives each message an id and a dedupe key of its own, and refuses one for all', () =>
  withMemory(async (mq) => {
    const queue = mq.queue<{ n: number }>('q')
    const messages = [{ n: 1 }, { n: 2 }, { n: 1 }]
    const window = '1h'
    for (const options of [{ id: 'one' }, { dedupe: { key: 'one', window } }] as const) {
      const refused = queue.sendMany(messages, options)
      await assert.rejects(refused, { code: 'INVALID_OPTION', message: /for 3 messages; give a function/ })
    }
    assert.equal((await queue.stats()).ready, 0)
    const sent = await queue.sendMany(messages, {
      id: ({ n }, index) => `${n}-${index}`,
      dedupe: ({ n }) => ({ key: `n${n}`, window }),
      headers: { tenant: 't' },
    })
    assert.deepEqual(sent, [
      { id: '1-0', duplicate: false },
      { id: '2-1', duplicate: false },
      { id: '1-0', duplicate: true },
    ])
    assert.deepEqual(
      (await queue.browse()).map((job) => [job.id, job.headers['tenant']]),
      [
        ['1-0', 't'],
        ['2-1', 't'],
      ],
    )
    const [only] = await queue.sendMany([{ n: 3 }], { id: 'one', dedupe: { key: 'n1', window } })
    assert.deepEqual(only, { id: '1-0', duplicate: true })
    const none = await queue.sendMany([{ n: 4 }, { n: 5 }], { id: () => undefined, dedupe: () => undefined })
    assert.equal(new Set(none.map(({ id }) => id)).size, 2)
    const wrong = queue.sendMany([{ n: 6 }], { id: () => '' })
    await assert.rejects(wrong, { code: 'INVALID_OPTION' })
  }))

test('a job given up by hand says why and with which error; a retry takes no reason, since none is kept', () =>
  withMemory(async (mq) => {
    const queue = mq.queue('q')
    await queue.send(1)
    const messages = queue.consume()
    const job = (await messages.next()).value as Job
    assert.throws(() => job.retry({ error: 'lost' } as never), { code: 'INVALID_OPTION' })
    assert.throws(() => job.dead('poison', { error: 7 } as never), { code: 'INVALID_OPTION' })
    assert.equal(await job.dead('no such address', { error: '550 unknown user' }), true)
    const [letter] = await queue.dead.browse()
    assert.equal(letter?.headers['x-millrace-reason'], 'no such address')
    assert.equal(letter?.headers['x-millrace-error'], '550 unknown user')
  }))

test('a worker without a handler is refused before it takes a message', () =>
  withMemory((mq) => {
    const refused = { code: 'INVALID_OPTION', message: /handler must be a function, not undefined/ }
    assert.throws(() => mq.queue('q').work(undefined as never), refused)
    assert.throws(() => mq.reply('q', undefined as never), refused)
    assert.throws(() => mq.exchange('e', 'topic').subscribe('#', undefined as never), refused)
    assert.throws(() => mq.queue('q').work(() => undefined, null as never), { code: 'INVALID_OPTION' })
    return Promise.resolve()
  }))
