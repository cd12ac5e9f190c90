/** Everything that waits takes a signal: it calls the wait off at any step, and leaves nothing behind. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { memoryDriver } from '../../src/drivers/memory.ts'
import { Client, MillraceError } from '../../src/index.ts'
import type { Driver, Job, Queue } from '../../src/index.ts'

type Waits = 'declare' | 'undeclare' | 'publish' | 'consume' | 'stats' | 'queues' | 'browse' | 'purge'
type Step = Waits | 'cancelDelayed' | 'move' | 'pause' | 'resume'

/** The engine in memory, of whose methods one may never answer. */
class StuckDriver {
  readonly called: string[] = []
  readonly driver: Driver
  stuck: Step | 'any' | undefined

  constructor() {
    const driver = memoryDriver('memory:')
    this.driver = new Proxy(driver, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        return (...args: unknown[]): unknown => {
          this.called.push(String(name))
          if (this.stuck === name) return stuck(args.at(-1))
          return Reflect.apply(value, target, args)
        }
      },
    })
  }
}

/** Never answers; a publish keeps to its signal, as the port demands. */
function stuck(options: unknown): Promise<never> {
  return new Promise((_resolve, reject) => {
    const signal = (options as { signal?: AbortSignal } | undefined)?.signal
    signal?.addEventListener(
      'abort',
      () => reject(new MillraceError('ABORTED', 'stuck', { cause: signal.reason })),
      { once: true },
    )
  })
}

interface Call {
  readonly name: string
  /** What it asks of the engine, one after the other. */
  readonly steps: readonly Step[]
  readonly run: (mq: Client, signal: AbortSignal) => Promise<unknown>
}

const calls: readonly Call[] = [
  { name: 'queue.declare', steps: ['declare'], run: (mq, signal) => mq.queue('q').declare({ signal }) },
  {
    name: 'queue.send',
    steps: ['declare', 'publish'],
    run: (mq, signal) => mq.queue('q').send(1, { signal }),
  },
  {
    name: 'queue.sendMany',
    steps: ['declare', 'publish'],
    run: (mq, signal) => mq.queue('q').sendMany([1, 2], { signal }),
  },
  {
    name: 'queue.stats',
    steps: ['declare', 'stats'],
    run: (mq, signal) => mq.queue('q').stats({ signal }),
  },
  {
    name: 'queue.browse',
    steps: ['declare', 'browse'],
    run: (mq, signal) => mq.queue('q').browse({ signal }),
  },
  {
    name: 'queue.purge',
    steps: ['declare', 'purge'],
    run: (mq, signal) => mq.queue('q').purge({ signal }),
  },
  {
    name: 'queue.cancel',
    steps: ['declare', 'cancelDelayed'],
    run: (mq, signal) => mq.queue('q').cancel('id', { signal }),
  },
  {
    name: 'queue.pause',
    steps: ['declare', 'pause'],
    run: (mq, signal) => mq.queue('q').pause({ signal }),
  },
  {
    name: 'queue.resume',
    steps: ['declare', 'resume'],
    run: (mq, signal) => mq.queue('q').resume({ signal }),
  },
  {
    name: 'queue.bind',
    steps: ['declare'],
    run: (mq, signal) => mq.queue('q').bind(mq.exchange('x', 'topic'), '#', { signal }),
  },
  {
    name: 'queue.unbind',
    steps: ['undeclare'],
    run: (mq, signal) => mq.queue('q').unbind(mq.exchange('x', 'topic'), '#', { signal }),
  },
  { name: 'queue.delete', steps: ['undeclare'], run: (mq, signal) => mq.queue('q').delete({ signal }) },
  {
    name: 'dead.count',
    steps: ['declare', 'stats'],
    run: (mq, signal) => mq.queue('q').dead.count({ signal }),
  },
  {
    name: 'dead.browse',
    steps: ['declare', 'browse'],
    run: (mq, signal) => mq.queue('q').dead.browse({ signal }),
  },
  {
    name: 'dead.redrive',
    steps: ['declare', 'move'],
    run: (mq, signal) => mq.queue('q').dead.redrive({ signal }),
  },
  {
    name: 'dead.purge',
    steps: ['declare', 'purge'],
    run: (mq, signal) => mq.queue('q').dead.purge({ signal }),
  },
  {
    name: 'worker.ready',
    steps: ['declare', 'consume'],
    run: (mq, signal) => mq.queue('q').work(() => undefined, { signal }).ready,
  },
  {
    name: 'messages.next',
    steps: ['declare', 'consume'],
    run: (mq, signal) => mq.queue('q').consume({ signal }).next(),
  },
  {
    name: 'exchange.declare',
    steps: ['declare'],
    run: (mq, signal) => mq.exchange('x', 'topic').declare({ signal }),
  },
  {
    name: 'exchange.publish',
    steps: ['declare', 'publish'],
    run: (mq, signal) => mq.exchange('x', 'topic').publish('key', 1, { signal }),
  },
  {
    name: 'exchange.subscribe',
    steps: ['declare', 'consume'],
    run: (mq, signal) => mq.exchange('x', 'topic').subscribe('#', () => undefined, { signal }).ready,
  },
  {
    name: 'exchange.bind',
    steps: ['declare'],
    run: (mq, signal) => mq.exchange('x', 'topic').bind(mq.exchange('y', 'topic'), '#', { signal }),
  },
  {
    name: 'exchange.unbind',
    steps: ['undeclare'],
    run: (mq, signal) => mq.exchange('x', 'topic').unbind(mq.exchange('y', 'topic'), '#', { signal }),
  },
  {
    name: 'exchange.delete',
    steps: ['undeclare'],
    run: (mq, signal) => mq.exchange('x', 'topic').delete({ signal }),
  },
  {
    name: 'mq.request',
    steps: ['declare', 'consume', 'publish'],
    run: (mq, signal) => mq.request('r', 1, { signal }),
  },
  {
    name: 'reply.ready',
    steps: ['declare', 'consume'],
    run: (mq, signal) => mq.reply('r', () => 1, { signal }).ready,
  },
  { name: 'mq.queues', steps: ['queues'], run: (mq, signal) => mq.queues({ signal }) },
  {
    name: 'mq.move',
    steps: ['move'],
    run: (mq, signal) => mq.move('q', 'other', { signal }),
  },
]

async function stuckClient(): Promise<{ stuck: StuckDriver; mq: Client }> {
  const stuck = new StuckDriver()
  return { stuck, mq: new Client(stuck.driver, await stuck.driver.open()) }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

for (const { name, steps, run } of calls) {
  test(`${name} ends with its signal, at whatever step it waits`, async () => {
    for (const step of steps) {
      const { stuck, mq } = await stuckClient()
      stuck.stuck = step
      const controller = new AbortController()
      const reason = new Error('enough')
      const refused = assert.rejects(run(mq, controller.signal), { code: 'ABORTED', cause: reason }, step)
      while (!stuck.called.includes(step)) await turn()
      controller.abort(reason)
      await refused
      await turn()
      assert.equal(getEventListeners(controller.signal, 'abort').length, 0, step)
      await stuck.driver.close()
    }
  })

  test(`${name} with a signal that is aborted already does nothing`, async () => {
    const { stuck, mq } = await stuckClient()
    stuck.called.length = 0
    await assert.rejects(run(mq, AbortSignal.abort()), { code: 'ABORTED' })
    await turn()
    assert.deepEqual(stuck.called, [])
    await mq.close()
  })
}

test('a send that declares its queue anew still ends with its signal', async () => {
  for (const step of ['declare', 'publish'] as const) {
    const { stuck, mq } = await stuckClient()
    const queue = mq.queue('q')
    await queue.send(0)
    await stuck.driver.undeclare({ queues: [{ name: 'q' }] })
    stuck.called.length = 0
    const controller = new AbortController()
    const refused = assert.rejects(queue.send(1, { signal: controller.signal }), { code: 'ABORTED' })
    while (!stuck.called.includes('publish')) await Promise.resolve()
    stuck.stuck = step
    while (stuck.called.at(-1) !== step) await turn()
    await turn()
    controller.abort()
    await refused
    await stuck.driver.close()
  }
})

test('a wrong signal is refused by every call', async () => {
  const { mq } = await stuckClient()
  for (const { name, run } of calls) {
    const wrong = async (): Promise<unknown> => run(mq, 'now' as unknown as AbortSignal)
    await assert.rejects(wrong, { code: 'INVALID_OPTION' }, name)
  }
  await mq.close()
})

test('a worker whose signal is aborted takes no more, and lets its running job end', async () => {
  const { mq } = await stuckClient()
  const queue = mq.queue<number>('q')
  const controller = new AbortController()
  const done: number[] = []
  let end: () => void = () => undefined
  const worker = queue.work(
    async (job) => {
      await new Promise<void>((resolve) => (end = resolve))
      done.push(job.data)
    },
    { signal: controller.signal },
  )
  const errors: Error[] = []
  worker.on('error', (error) => errors.push(error))
  await queue.sendMany([1, 2])
  while (worker.running === 0) await turn()
  controller.abort()
  end()
  await worker.close()
  assert.deepEqual(done, [1])
  assert.deepEqual(errors, [])
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  assert.equal((await queue.stats()).ready, 1)
  await mq.close()
})

test('a worker that closes lets go of its signal', async () => {
  const { mq } = await stuckClient()
  const { signal } = new AbortController()
  await mq
    .queue('q')
    .work(() => undefined, { signal })
    .close()
  assert.equal(getEventListeners(signal, 'abort').length, 0)
  await mq.close()
})

/** A queue with a worker whose job ends only when it is told to. */
async function endless(): Promise<{ mq: Client; queue: Queue; end: () => void; taken: Promise<void> }> {
  const { mq } = await stuckClient()
  const queue = mq.queue('q')
  let end: () => void = () => undefined
  const whenEnded = new Promise<void>((resolve) => (end = resolve))
  const taken = new Promise<void>((resolve) => {
    queue.work(() => (resolve(), whenEnded))
  })
  await queue.send(1)
  return { mq, queue, end, taken }
}

test('close that is called off goes on closing, also when its signal was aborted before', async () => {
  for (const late of [true, false]) {
    const { mq, end, taken } = await endless()
    await taken
    const controller = new AbortController()
    if (!late) controller.abort()
    const closing = assert.rejects(mq.close({ signal: controller.signal }), { code: 'ABORTED' })
    controller.abort()
    await closing
    await assert.rejects(async () => mq.queue('q').work(() => undefined), { code: 'CLOSED' })
    end()
    await mq.close()
  }
})

test('worker.close and messages.close that are called off go on closing', async () => {
  const { mq } = await stuckClient()
  const queue = mq.queue('q')
  let end: () => void = () => undefined
  const worker = queue.work(() => new Promise<void>((resolve) => (end = resolve)))
  await queue.send(1)
  while (worker.running === 0) await turn()
  await assert.rejects(worker.close({ signal: AbortSignal.abort() }), { code: 'ABORTED' })
  end()
  await worker.close()
  const messages = queue.consume()
  await assert.rejects(messages.close({ signal: AbortSignal.abort() }), { code: 'ABORTED' })
  assert.deepEqual(await messages.next(), { done: true, value: undefined })
  await mq.close()
})

test('close with a timeout ends, also where the engine never answers a worker or an iteration that begins', async () => {
  for (const step of ['declare', 'consume'] as const) {
    const { stuck, mq } = await stuckClient()
    stuck.stuck = step
    mq.queue('q').work(() => undefined)
    const messages = mq.queue('q').consume()
    const next = messages.next()
    await turn()
    await mq.close({ timeout: 1 })
    assert.deepEqual(await next, { done: true, value: undefined })
  }
})

test('a settlement takes a signal; aborted before, the job stays to be settled', async () => {
  const { mq } = await stuckClient()
  const queue = mq.queue('q')
  await queue.sendMany([1, 2, 3, 4])
  const messages = queue.consume()
  const settlements: readonly ((job: Job, signal: AbortSignal) => Promise<boolean>)[] = [
    (job, signal) => job.ack({ signal }),
    (job, signal) => job.retry({ delay: '1m', signal }),
    (job, signal) => job.release({ delay: '1m', signal }),
    (job, signal) => job.dead('poison', { signal }),
  ]
  for (const settle of settlements) {
    const job = (await messages.next()).value as Job
    await assert.rejects(settle(job, AbortSignal.abort()), { code: 'ABORTED' })
    await assert.rejects(job.extend('1s', { signal: AbortSignal.abort() }), { code: 'ABORTED' })
    assert.equal(job.settled, false)
    const { signal } = new AbortController()
    assert.equal(await settle(job, signal), true)
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  }
  const { ready, unacked, delayed, dead } = await queue.stats()
  assert.deepEqual({ ready, unacked, delayed, dead }, { ready: 0, unacked: 0, delayed: 2, dead: 1 })
  await mq.close()
})
