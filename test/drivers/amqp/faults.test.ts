/** A client stays usable whatever happens to its server and its network. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '../../../src/index.ts'
import type { Client } from '../../../src/index.ts'
import { findRabbitMq } from '../../servers/rabbitmq.ts'
import { codeOf, endServerAfterTests, shortHeartbeatSeconds, until, withWorld } from './server.ts'

const { skip } = await findRabbitMq()
endServerAfterTests()

/** How often the connection was said to be down, up, blocked and free again. */
function watch(mq: Client): { down: number; up: number; blocked: number; unblocked: number; lost: number } {
  const heard = { down: 0, up: 0, blocked: 0, unblocked: 0, lost: 0 }
  mq.on('down', () => (heard.down += 1)).on('up', () => (heard.up += 1))
  mq.on('blocked', () => (heard.blocked += 1)).on('unblocked', () => (heard.unblocked += 1))
  mq.on('topologyLost', () => (heard.lost += 1))
  return heard
}

/** Sends numbers one after the other until told to stop, and says which of them were stored. */
function sender(mq: Client): { stored: Set<number>; codes: Set<string>; stop: () => Promise<void> } {
  const queue = mq.queue<number>('q')
  const stored = new Set<number>()
  const codes = new Set<string>()
  let stopped = false
  const lane = async (first: number): Promise<void> => {
    for (let number = first; !stopped; number += 4) {
      const code = await codeOf(queue.send(number))
      if (code === 'none') stored.add(number)
      else codes.add(code)
    }
  }
  const lanes = [0, 1, 2, 3].map(lane)
  return {
    stored,
    codes,
    stop: async () => {
      stopped = true
      await Promise.all(lanes)
    },
  }
}

describe('amqp on RabbitMQ', { skip }, () => {
  for (const [what, harm] of [
    ['restarted', async ({ server }) => server.restartQuickly()],
    ['stopped for a while', async ({ server }) => server.stop().then(() => server.boot())],
    ['cut off three times', cutThrice],
  ] as const satisfies readonly (readonly [string, Harm])[]) {
    test(`a server that is ${what}: senders and workers go on, nothing stored is lost`, () =>
      withWorld(async (world) => {
        const mq = await world.connect()
        const heard = watch(mq)
        const seen = new Set<number>()
        const worker = mq.queue<number>('q').work((job) => void seen.add(job.data), { concurrency: 20 })
        worker.on('error', () => undefined)
        await worker.ready
        const sending = sender(mq)
        await until('some are stored', () => sending.stored.size > 50)
        await harm(world)
        const before = sending.stored.size
        await until('more are stored', () => sending.stored.size > before + 50)
        await sending.stop()
        await until('all that was stored has come', () =>
          [...sending.stored].every((number) => seen.has(number)),
        )
        assert.ok(heard.down >= 1, 'it said that it was down')
        await until('and up again', () => heard.up === heard.down)
        for (const code of sending.codes) assert.equal(code, 'CONNECTION_LOST')
        assert.equal(heard.lost, 0)
      }))
  }

  test('what is sent while the server is away waits; a signal calls it off, and a close ends it', () =>
    withWorld(async ({ connect: open, proxy }) => {
      const mq = await open()
      const heard = watch(mq)
      await mq.queue('q').send('before')
      proxy.cut()
      await until('it is down', () => heard.down === 1)
      const waiting = mq.queue('q').send('waits')
      const controller = new AbortController()
      const calledOff = codeOf(mq.queue('q').send('called off', { signal: controller.signal }))
      const fromMs = performance.now()
      await delay(300)
      const seconds = Math.ceil((performance.now() - fromMs) / 1_000)
      controller.abort()
      assert.equal(await calledOff, 'ABORTED')
      assert.ok(proxy.refused < 10 * seconds, `it does not spin: ${proxy.refused} tries in ${seconds} s`)
      proxy.heal()
      await waiting
      assert.equal((await mq.queue('q').stats()).ready, 2)
      proxy.cut()
      await until('it is down again', () => heard.down === 2)
      const ended = codeOf(mq.queue('q').send('too late'))
      await delay(50)
      await mq.close({ timeout: 50 })
      assert.equal(await ended, 'CLOSED')
    }))

  test('a frozen network is noticed by the heartbeat, and who sends is told', () =>
    withWorld(
      async ({ connect: open, proxy }) => {
        const mq = await open()
        await mq.queue('q').send('before')
        const heard = watch(mq)
        proxy.freeze()
        assert.equal(await codeOf(mq.queue('q').send('into the void')), 'CONNECTION_LOST')
        proxy.heal()
        await until('it is up again', () => heard.up > 0)
        await mq.queue('q').send('after')
      },
      { heartbeatSeconds: shortHeartbeatSeconds },
    ))

  test('while the server is short of memory senders wait, and workers go on', () =>
    withWorld(async ({ connect: open, server }) => {
      const mq = await open()
      const queue = mq.queue<string>('q')
      await queue.sendMany(['1', '2', '3'])
      const heard = watch(mq)
      await server.memoryAlarm(true)
      try {
        const waiting = queue.send('4')
        await until('it says that it is blocked', () => heard.blocked === 1)
        const done: string[] = []
        const worker = queue.work((job) => void done.push(job.data))
        await until('the worker works', () => done.length === 3)
        assert.deepEqual(done, ['1', '2', '3'])
        assert.equal((await queue.stats()).ready, 0, 'and calls are answered')
        assert.equal(await codeOf(queue.send('never', { signal: AbortSignal.timeout(50) })), 'ABORTED')
        await server.memoryAlarm(false)
        await waiting
        await until('it comes', () => done.length === 4)
        assert.equal(heard.unblocked, 1)
        await worker.close()
      } finally {
        await server.memoryAlarm(false)
      }
    }))

  test('a queue deleted under its worker ends that worker, typed, and nothing else', () =>
    withWorld(async ({ connect: open }) => {
      const mq = await open()
      const other = await open()
      const errors: unknown[] = []
      const worker = mq.queue('q').work(() => undefined)
      worker.on('error', (error) => errors.push(error))
      await worker.ready
      await other.queue('q').delete()
      await until('the worker is told', () => errors.length === 1)
      assert.equal((errors[0] as { code: string }).code, 'NOT_FOUND')
      await mq.queue('other').send('alive')
    }))

  test('an exchange deleted behind our back is NOT_FOUND for its messages alone, and can be declared again', () =>
    withWorld(async ({ connect: open }) => {
      const mq = await open()
      const other = await open()
      const events = mq.exchange<string>('events', 'fanout')
      await mq.queue('q').bind(events)
      await events.publish('', 'one')
      await other.exchange('events', 'fanout').delete()
      // The client declares it again and tries once more; its binding is gone.
      assert.equal((await events.publish('', 'two')).routed, false)
      await mq.queue('q').send('three')
      assert.equal((await mq.queue('q').stats()).ready, 2)
    }))

  test('a refused declaration is a ConflictError and costs nothing else', () =>
    withWorld(async ({ connect: open }) => {
      const mq = await open()
      const other = await open()
      await mq.queue('q').send('there')
      const conflicting = other.queue('q', { maxLength: 5 })
      const codes = await Promise.all([
        codeOf(conflicting.declare()),
        codeOf(other.queue('fine').declare()),
        codeOf(other.queue('fine').stats()),
      ])
      assert.deepEqual(codes, ['CONFLICT', 'none', 'none'])
      await other.queue('fine').send('alive')
    }))

  test('who is not let in is told so, and why', () =>
    withWorld(async ({ server, vhost }) => {
      const url = (user: string, host: string): string => `amqp://${user}@127.0.0.1:${server.port}/${host}`
      assert.equal(await codeOf(connect(url('guest:wrong', vhost))), 'ACCESS_REFUSED')
      assert.equal(await codeOf(connect(url('nobody:x', vhost))), 'ACCESS_REFUSED')
      assert.equal(await codeOf(connect(url('guest:guest', 'nowhere'))), 'NOT_ALLOWED')
      const namespace = connect(url('guest:guest', vhost), { namespace: 'nowhere' })
      await assert.rejects(namespace, { code: 'NOT_ALLOWED', message: /rabbitmqctl add_vhost/ })
    }))

  test('subscribers and requesters, whose queues are their connection’s own, go on after it was lost', () =>
    withWorld(
      async ({ connect: open, proxy }) => {
        const mq = await open()
        const other = await open()
        const heard: string[] = []
        const subscription = mq
          .exchange<string>('events', 'fanout')
          .subscribe('', (job) => void heard.push(job.data))
        subscription.on('error', () => undefined)
        await subscription.ready
        other.reply<number>('double', (job) => job.data * 2).on('error', () => undefined)
        assert.equal(await mq.request('double', 2), 4)
        const connection = watch(mq)
        for (let time = 1; time <= 2; time += 1) {
          if (time === 1) proxy.reset()
          else {
            proxy.freeze()
            await until('it is noticed', () => connection.down >= 2)
            proxy.heal()
          }
          await until('it is up again', () => connection.up >= time)
          const before = heard.length
          await until('the subscriber hears', async () => {
            await other
              .exchange<string>('events', 'fanout')
              .publish('', 'x')
              .catch(() => undefined)
            await delay(20)
            return heard.length > before
          })
          await until('requests are answered', async () => {
            return (await mq.request('double', time, { timeout: '2s' }).catch(() => 0)) === time * 2
          })
        }
      },
      { heartbeatSeconds: shortHeartbeatSeconds },
    ))

  test('what went with its consumer does not come back with the connection', () =>
    withWorld(async ({ connect: open, proxy, server, vhost }) => {
      const mq = await open()
      const heard = watch(mq)
      const events = mq.exchange('events', 'fanout')
      const subscription = events.subscribe('', () => undefined)
      await subscription.ready
      await subscription.close()
      // RabbitMQ answers before it has deleted it.
      await until('its queue is gone', async () => (await server.queueNames(vhost)).length === 0)
      proxy.reset()
      await until('it is up again', () => heard.up === 1)
      assert.deepEqual(await server.queueNames(vhost), [])
      assert.equal((await events.publish('', 'x')).routed, false)
    }))

  test('a handler whose connection is lost hears of it, and its job comes again', () =>
    withWorld(async ({ connect: open, proxy }) => {
      const mq = await open()
      const attempts: number[] = []
      let aborted = 0
      const worker = mq.queue('q').work(async (job) => {
        attempts.push(job.attempt)
        if (job.attempt > 1) return
        proxy.reset()
        await new Promise((resolve) => job.signal.addEventListener('abort', resolve, { once: true }))
        aborted += 1
      })
      worker.on('error', () => undefined)
      await mq.queue('q').send('once')
      await until('it came twice', () => attempts.length === 2)
      assert.deepEqual(attempts, [1, 2])
      assert.equal(aborted, 1)
    }))
})

type Harm = (world: Parameters<Parameters<typeof withWorld>[0]>[0]) => Promise<void>

async function cutThrice({ proxy }: Parameters<Harm>[0]): Promise<void> {
  for (let time = 0; time < 3; time += 1) {
    proxy.cut()
    await delay(50)
    proxy.heal()
    await delay(300)
  }
}
