/**
 * Every command on `--url amqp://…`: what a server of AMQP can do, and what it is refused for. The server is our own broker,
 * or with MILLRACE_INTEROP=rabbitmq a real RabbitMQ.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { connect } from '../../src/index.ts'
import { startTestBroker } from '../interop/broker.ts'
import type { TestBroker } from '../interop/broker.ts'
import { jsonLines, shellOn } from './harness.ts'
import type { Ran, RunOptions } from './harness.ts'

let broker: TestBroker
let sh: (line: string | readonly string[], options?: RunOptions) => Promise<Ran>
let names = 0

before(async () => {
  broker = await startTestBroker()
  sh = shellOn(broker.url())
})
after(() => broker[Symbol.asyncDispose]())

/** Of the test's own. */
function newName(): string {
  return `cli-${(names += 1)}`
}

/** A queue with these numbers, and the dead letters 0 to `dead`. */
async function queueWith(ready: readonly number[], dead = 0): Promise<string> {
  const name = newName()
  await using mq = await connect(broker.url())
  const queue = mq.queue<number>(name)
  await queue.sendMany(Array.from({ length: dead }, (_, index) => index))
  if (dead > 0) {
    for await (const job of queue.consume()) {
      await job.dead()
      if (job.data === dead - 1) break
    }
  }
  await queue.sendMany(ready)
  return name
}

describe('commands on amqp', () => {
  test('send and consume: each message once, in order', async () => {
    const q = newName()
    const sent = await sh(['send', q, '{"to":"a@b.c"}', '--declare', '--id', 'first', '--header', 'h=1'])
    assert.deepEqual(sent, { code: 0, output: `Sent to ${q} (id first)\n`, errors: '' })
    await sh(`send ${q} --lines`, { input: '1\n2\n' })
    const messages = jsonLines((await sh(`consume ${q} --json`)).output)
    assert.deepEqual(
      messages.map(({ data, attempt, headers }) => ({ data, attempt, headers })),
      [
        { data: { to: 'a@b.c' }, attempt: 1, headers: { h: '1' } },
        { data: 1, attempt: 1, headers: {} },
        { data: 2, attempt: 1, headers: {} },
      ],
    )
    assert.deepEqual(await sh(`consume ${q}`), { code: 3, output: '', errors: '' })
  })

  test('consume --follow ends with Ctrl-C, --count after so many', async () => {
    const q = await queueWith([1, 2, 3])
    assert.equal((await sh(`consume ${q} --count 1`)).output, '1\n')
    const controller = new AbortController()
    let seen = ''
    const followed = await sh(`consume ${q} --follow`, {
      interrupted: controller.signal,
      onOutput: (text) => {
        seen += text
        if (seen === '2\n3\n') controller.abort()
      },
    })
    assert.deepEqual(followed, { code: 0, output: '2\n3\n', errors: '' })
  })

  test('stats shows what AMQP tells, and a dash for the rest', async () => {
    const q = await queueWith([1, 2], 1)
    const [figures] = jsonLines((await sh(`stats ${q} --json`)).output)
    const { ready, dead, consumers, unacked } = figures ?? {}
    assert.deepEqual(
      { ready, dead, consumers, unacked },
      { ready: 2, dead: 1, consumers: 0, unacked: undefined },
    )
    assert.match((await sh(`stats ${q}`)).output, /\n {2}ready +2\n {2}unacked +–\n/)
    const seen = new AbortController()
    const watched = await sh(`stats ${q} --watch --interval 100ms`, {
      interrupted: seen.signal,
      onOutput: () => seen.abort(),
    })
    assert.equal(watched.code, 0)
    assert.match(watched.output, /^\S+ ready 2 unacked – delayed – dead 1 /)
  })

  test('purge drops what is ready, or dead', async () => {
    const q = await queueWith([1, 2], 1)
    assert.equal((await sh(`purge ${q} --yes --state dead`)).output, `Dropped 1 message of ${q}\n`)
    assert.equal((await sh(`purge ${q} --yes`)).output, `Dropped 2 messages of ${q}\n`)
  })

  test('redrive and move bring messages to the tail of the other queue', async () => {
    const q = await queueWith([10], 2)
    assert.equal((await sh(`redrive ${q}`)).output, `Moved 2 messages from ${q}.dead back to ${q}\n`)
    const p = await queueWith([-1])
    assert.equal((await sh(`move ${q} ${p} --limit 2`)).output, `Moved 2 messages from ${q} to ${p}\n`)
    assert.equal((await sh(`consume ${q}`)).output, '1\n')
    assert.equal((await sh(`consume ${p}`)).output, '-1\n10\n0\n')
  })

  test('what AMQP cannot do is code 1 and names the way out', async () => {
    const q = await queueWith([1])
    const cases: [line: string, says: RegExp][] = [
      ['queues', /listing queues.*millrace queues --url file:FOLDER/],
      [`peek ${q}`, /browse.*consume the queue/],
      [`purge ${q} --yes --state delayed`, /purging delayed messages.*purge the ready ones/],
    ]
    for (const [line, says] of cases) {
      const { code, output, errors } = await sh(line)
      assert.deepEqual({ code, output }, { code: 1, output: '' }, `${line}: ${errors}`)
      assert.match(errors, /^millrace: .*\(UNSUPPORTED\)\n$/, line)
      assert.match(errors, says)
    }
    assert.equal((await sh(`consume ${q}`)).output, '1\n', 'nothing was sent or dropped')
  })
})

describe('what can go wrong on amqp', () => {
  const commands = ['send p 1', 'consume p', 'stats p', 'purge p --yes', 'redrive p', 'move p q']

  test('a queue that is missing is code 3', async () => {
    for (const line of commands) {
      const { code, output, errors } = await sh(line)
      assert.deepEqual({ code, output }, { code: 3, output: '' }, `${line}: ${errors}`)
      assert.match(errors, /^millrace: There is no queue [pq];.*\(NOT_FOUND\)\n$/)
    }
  })

  test('no server is code 1: what to do, in one line', async () => {
    const nowhere = shellOn('amqp://127.0.0.1:1')
    for (const line of [...commands, 'peek p', 'queues', 'stats p --watch']) {
      const { code, output, errors } = await nowhere(line)
      assert.deepEqual({ code, output }, { code: 1, output: '' }, `${line}: ${errors}`)
      assert.match(errors, /^millrace: .*amqp:\/\/127\.0\.0\.1:1.*\(UNREACHABLE\)\n$/)
    }
    assert.match((await nowhere('queues --debug')).errors, /\n {4}at /)
  })

  test('a wrong password is code 1, and is not shown', async () => {
    const { code, errors } = await shellOn(broker.url().replace('guest:guest', 'guest:wr0ng'))('stats q')
    assert.equal(code, 1)
    assert.match(errors, /^millrace: .*refused the user or its password.*\(ACCESS_REFUSED\)\n$/)
    assert.doesNotMatch(errors, /wr0ng/)
  })

  test('a virtual host that is missing is said to be', async () => {
    const { code, errors } = await shellOn(broker.url('nowhere'))('stats q')
    assert.equal(code, 1)
    assert.match(errors, /^millrace: .*virtual host 'nowhere'.*\(NOT_ALLOWED\)\n$/)
  })

  const wrong: [url: string, says: RegExp][] = [
    ['amqp://localhost?quues=classic', /takes no setting 'quues'/],
    ['amqp://localhost?heartbeat=often', /'heartbeat' is a whole number/],
    ['amqp://guest:s3cret@localhost#1', /a # is written %23/],
  ]
  for (const [url, says] of wrong) {
    test(`${url} is wrong usage`, async () => {
      const { code, output, errors } = await shellOn(url)('stats q')
      assert.deepEqual({ code, output }, { code: 2, output: '' })
      assert.match(errors, says)
      assert.doesNotMatch(errors, /s3cret/)
    })
  }
})
