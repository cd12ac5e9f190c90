/** Every command on `--url redis://…`, with a real Redis. What is the same on every engine is tested on `file:` as well. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { connect } from '../../src/index.ts'
import { findRedis, RedisServer } from '../servers/redis.ts'
import { jsonLines, shellOn } from './harness.ts'

const { skip } = await findRedis()

let server: RedisServer
let worlds = 0

before(async () => {
  if (skip === false) server = await RedisServer.start({ sync: 'everysec' })
})
after(() => server?.close())

/** Keys of the test's own on the server of this file. */
function newUrl(): string {
  return `${server.url()}?prefix=cli-${(worlds += 1)}`
}

function redis() {
  const url = newUrl()
  return { url, sh: shellOn(url) }
}

/** The queue q has these numbers, and the dead letters 0 to `dead`, each after one attempt. */
async function redisWith({ ready, dead }: { ready: readonly number[]; dead: number }) {
  const made = redis()
  await using mq = await connect(made.url)
  const queue = mq.queue<number>('q')
  await queue.sendMany(Array.from({ length: dead }, (_, index) => index))
  if (dead > 0) {
    for await (const job of queue.consume()) {
      await job.dead('no use', { error: 'no such address' })
      if (job.data === dead - 1) break
    }
  }
  await queue.sendMany(ready)
  return made
}

describe('send, peek and consume on redis', { skip }, () => {
  test('what is sent is seen, then taken, once', async () => {
    const { sh } = redis()
    assert.deepEqual(await sh(['send', 'q', '{"to":"a@b.c"}', '--declare', '--id', 'first']), {
      code: 0,
      output: 'Sent to q (id first)\n',
      errors: '',
    })
    const [peeked] = jsonLines((await sh('peek q --json')).output)
    assert.deepEqual([peeked?.['id'], peeked?.['data']], ['first', { to: 'a@b.c' }])
    const [consumed] = jsonLines((await sh('consume q --json')).output)
    const { sentAt, ...rest } = consumed ?? {}
    const data = { to: 'a@b.c' }
    assert.deepEqual(rest, { id: 'first', data, attempt: 1, headers: {}, exchange: '', routingKey: 'q' })
    assert(!Number.isNaN(Date.parse(String(sentAt))))
    assert.deepEqual(await sh('consume q'), { code: 3, output: '', errors: '' })
  })

  test('--lines sends each line in order, and consume prints them so', async () => {
    const { sh } = redis()
    const input = Array.from({ length: 2_500 }, (_, index) => `${index}\n`).join('')
    assert.equal((await sh('send q --lines --declare', { input })).output, 'Sent 2,500 messages to q\n')
    assert.equal((await sh('consume q')).output, input)
  })

  test('--delay, --header and --priority reach the message', async () => {
    const { sh, url } = redis()
    await using mq = await connect(url)
    await mq.queue('q', { priorities: 5 }).declare()
    await sh('send q 1 --delay 1h --header tenant=acme')
    const [delayed] = jsonLines((await sh('peek q --state delayed --json')).output)
    assert.deepEqual(delayed?.['headers'], { tenant: 'acme' })
    const inMs = Date.parse(String(delayed?.['dueAt'])) - Date.now()
    assert(inMs > 3_500_000 && inMs <= 3_601_000, String(inMs))
    await sh('send q 2')
    await sh('send q 3 --priority 5')
    assert.equal((await sh('consume q')).output, '3\n2\n')
  })

  test('--dedupe tells a duplicate', async () => {
    const { sh } = redis()
    const first = jsonLines((await sh('send q 1 --declare --dedupe k --json')).output)
    const second = jsonLines((await sh('send q 1 --dedupe k --json')).output)
    assert.deepEqual(second, [{ id: first[0]?.['id'], duplicate: true }])
    assert.equal((await sh('consume q')).output, '1\n')
  })

  test('--no-ack puts every message back in its place, its attempt unchanged', async () => {
    const { sh } = await redisWith({ ready: [1, 2, 3], dead: 0 })
    assert.deepEqual(await sh('consume q --no-ack'), { code: 0, output: '1\n2\n3\n', errors: '' })
    const messages = jsonLines((await sh('consume q --json --count 2')).output)
    assert.deepEqual(
      messages.map(({ data, attempt }) => [data, attempt]),
      [
        [1, 1],
        [2, 1],
      ],
    )
    assert.equal((await sh('consume q')).output, '3\n')
  })

  test('--follow waits for more until Ctrl-C, which is its normal end', async () => {
    const { sh, url } = await redisWith({ ready: [1], dead: 0 })
    await using mq = await connect(url)
    const queue = mq.queue('q')
    const controller = new AbortController()
    let seen = ''
    const ran = await sh('consume q --follow', {
      interrupted: controller.signal,
      onOutput: (text) => {
        seen += text
        if (seen === '1\n') void queue.send(2)
        if (seen === '1\n2\n') controller.abort()
      },
    })
    assert.deepEqual(ran, { code: 0, output: '1\n2\n', errors: '' })
    const { ready, unacked } = await queue.stats()
    assert.deepEqual({ ready, unacked }, { ready: 0, unacked: 0 })
  })

  test('peek shows why a message is dead, and how often it was tried', async () => {
    const { sh } = await redisWith({ ready: [], dead: 1 })
    const { code, output } = await sh('peek q --state dead')
    assert.equal(code, 0)
    assert.match(output, /^ID +ATTEMPT +WHY +DATA\n\S+ +1 +no use: no such address +0\n$/)
    const empty = await sh('peek q')
    assert.deepEqual(empty, { code: 3, output: '', errors: 'millrace: q has no ready messages\n' })
  })

  test('namespaces are apart', async () => {
    const { sh } = redis()
    await sh('send q 1 --declare')
    assert.equal((await sh('peek q --namespace other')).code, 3)
    await sh('send q 2 --declare --namespace other')
    assert.equal((await sh('consume q')).output, '1\n')
    assert.equal((await sh('consume q --namespace other')).output, '2\n')
  })
})

describe('queues and stats on redis', { skip }, () => {
  test('queues lists every queue with its figures', async () => {
    const { sh } = await redisWith({ ready: [1, 2, 3], dead: 2 })
    const json = jsonLines((await sh('queues --json')).output)
    assert.deepEqual(
      json.map(({ name, ready, dead, acked }) => ({ name, ready, dead, acked })),
      [
        { name: 'q', ready: 3, dead: 2, acked: 0 },
        { name: 'q.dead', ready: 2, dead: 0, acked: 0 },
      ],
    )
  })

  test("queues lists another connection's queue, without the figures that are that one's alone", async () => {
    const { sh, url } = redis()
    await using mq = await connect(url)
    const replier = mq.reply<number>('double', (job) => job.data * 2)
    await replier.ready
    const completed = new Promise((resolve) => replier.on('completed', resolve))
    assert.equal(await mq.request('double', 21), 42)
    // It is answered before it is acknowledged.
    await completed
    const { code, output, errors } = await sh('queues')
    assert.deepEqual({ code, errors }, { code: 0, errors: '' })
    assert.match(output, /^double +0 +0 +0 +1$/m)
    assert.match(output, /^millrace\.reply\.\S+ \(exclusive\) +– +– +– +–$/m)
    const json = jsonLines((await sh('queues --json')).output)
    assert.equal(json.find(({ exclusive }) => exclusive === true)?.['ready'], undefined)
  })

  test('stats counts over the life of the queue, not of a command', async () => {
    const { sh } = await redisWith({ ready: [1, 2], dead: 1 })
    assert.equal((await sh('consume q --count 1')).output, '1\n')
    const [figures] = jsonLines((await sh('stats q --json')).output)
    const { ready, dead, published, acked, deadLettered } = figures ?? {}
    assert.deepEqual(
      { ready, dead, published, acked, deadLettered },
      { ready: 1, dead: 1, published: 3, acked: 1, deadLettered: 1 },
    )
    assert.match((await sh('stats q')).output, /^q\n {2}ready +1\n/)
  })

  test('--watch prints a line each time, with rates, until Ctrl-C', async () => {
    const { sh, url } = await redisWith({ ready: [0], dead: 0 })
    await using mq = await connect(url)
    const controller = new AbortController()
    let lines = 0
    // So many that a second between two looks, or ten, is a rate.
    const more = Array.from({ length: 100 }, (_, index) => index)
    const { code, output } = await sh('stats q --watch --interval 100ms --json', {
      interrupted: controller.signal,
      onOutput: (text) => {
        lines += 1
        if (lines === 1) void mq.queue('q').sendMany(more)
        if (jsonLines(text).at(-1)?.['ready'] === 1 + more.length) controller.abort()
      },
    })
    assert.equal(code, 0)
    const seen = jsonLines(output)
    assert(seen.some((line) => Number(line['publishedRate']) > 0))
  })
})

describe('purge, redrive and move on redis', { skip }, () => {
  test('purge drops by state', async () => {
    const { sh } = await redisWith({ ready: [1, 2], dead: 2 })
    assert.equal((await sh('purge q --state dead --yes')).output, 'Dropped 2 messages of q\n')
    await sh('send q 1 --delay 1h')
    assert.deepEqual(jsonLines((await sh('purge q -y --state delayed --json')).output), [{ purged: 1 }])
    const asked = await sh('purge q', { terminal: true, input: 'y\n' })
    assert.match(asked.errors, /Drop 2 ready messages of q\? \[y\/N\]/)
    assert.equal(asked.output, 'Dropped 2 messages of q\n')
    assert.equal((await sh('purge q -y --state all')).output, 'Dropped 0 messages of q\n')
  })

  test('redrive brings the dead back, oldest first, attempts reset', async () => {
    const { sh } = await redisWith({ ready: [-1], dead: 12 })
    assert.equal((await sh('redrive q --limit 1')).output, 'Moved 1 message from q.dead back to q\n')
    assert.deepEqual(jsonLines((await sh('redrive q --json')).output), [{ moved: 11 }])
    const messages = jsonLines((await sh('consume q --json')).output)
    assert.deepEqual(
      messages.map(({ data, attempt }) => [data, attempt]),
      Array.from({ length: 13 }, (_, index) => [index - 1, 1]),
    )
  })

  test('move takes what is ready to the tail of another queue', async () => {
    const ready = Array.from({ length: 1_500 }, (_, index) => index)
    const { sh } = await redisWith({ ready, dead: 0 })
    await sh('send p -1 --declare'.split(' '))
    assert.equal((await sh('move q p --limit 1200')).output, 'Moved 1,200 messages from q to p\n')
    const lines = (from: number, to: number): string =>
      ready
        .slice(from, to)
        .map((index) => `${index}\n`)
        .join('')
    assert.equal((await sh('consume q')).output, lines(1_200, 1_500))
    assert.equal((await sh('consume p')).output, `-1\n${lines(0, 1_200)}`)
  })
})
