import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { connect } from '../../src/index.ts'
import { ended, jsonLines, shell, spawnMillrace } from './harness.ts'

/** A shell whose queue q has these messages, and as many dead ones. */
async function shellWith(count: number) {
  const made = await shell()
  const mq = await connect(made.url)
  const queue = mq.queue<number>('q')
  const numbers = Array.from({ length: count }, (_, index) => index)
  await queue.sendMany(numbers)
  for await (const job of queue.consume()) {
    await job.dead()
    if (job.data === count - 1) break
  }
  await queue.sendMany(numbers.map((index) => index + 1_000))
  await mq.close()
  return made
}

describe('queues', () => {
  test('lists every queue with its figures', async () => {
    const { sh } = await shellWith(3)
    const { code, output } = await sh('queues')
    assert.equal(code, 0)
    assert.deepEqual(
      output
        .trimEnd()
        .split('\n')
        .map((line) => line.split(/ {2,}/).map((cell) => cell.trim())),
      [
        ['NAME', 'READY', 'UNACKED', 'DELAYED', 'CONSUMERS'],
        ['q', '3', '0', '0', '0'],
        ['q.dead', '3', '0', '0', '0'],
      ],
    )
    const json = jsonLines((await sh('queues --json')).output)
    assert.deepEqual(
      json.map(({ name, ready, dead }) => ({ name, ready, dead })),
      [
        { name: 'q', ready: 3, dead: 3 },
        { name: 'q.dead', ready: 3, dead: 0 },
      ],
    )
  })
})

describe('stats', () => {
  test('shows the figures once', async () => {
    const { sh } = await shellWith(2)
    const { code, output } = await sh('stats q')
    assert.equal(code, 0)
    assert.match(output, /^q\n {2}ready +2\n/)
    const [json] = jsonLines((await sh('stats q --json')).output)
    assert.equal(json?.['ready'], 2)
    assert.equal(json?.['dead'], 2)
  })

  test('--watch prints a line each time, with rates, until Ctrl-C', async (t) => {
    const { sh, url } = await shellWith(1)
    const mq = await connect(url)
    t.after(() => mq.close())
    const controller = new AbortController()
    let lines = 0
    // So many that a second between two looks, or ten, is a rate.
    const more = Array.from({ length: 100 }, (_, index) => index)
    const watching = sh('stats q --watch --interval 100ms --json', {
      interrupted: controller.signal,
      onOutput: (text) => {
        lines += 1
        if (lines === 1) void mq.queue('q').sendMany(more)
        if (jsonLines(text).at(-1)?.['ready'] === 1 + more.length) controller.abort()
      },
    })
    const { code, output } = await watching
    assert.equal(code, 0)
    const seen = jsonLines(output)
    assert.equal(seen[0]?.['publishedRate'], 0)
    assert(seen.some((line) => Number(line['publishedRate']) > 0))
    const read = new AbortController()
    const text = await sh('stats q --watch', { interrupted: read.signal, onOutput: () => read.abort() })
    assert.match(text.output, /^\S+ ready 101 unacked 0 .* published 0\/s/)
  })
})

describe('purge', () => {
  test('drops by state', async () => {
    const { sh } = await shellWith(2)
    assert.equal((await sh('purge q --state dead --yes')).output, 'Dropped 2 messages of q\n')
    await sh('send q 1 --delay 1h')
    assert.deepEqual(jsonLines((await sh('purge q -y --state delayed --json')).output), [{ purged: 1 }])
    assert.equal((await sh('purge q -y')).output, 'Dropped 2 messages of q\n')
    assert.equal((await sh('purge q -y --state all')).output, 'Dropped 0 messages of q\n')
  })

  test('asks on a terminal, and no is the default', async () => {
    const { sh } = await shellWith(2)
    for (const input of ['\n', 'n\n', '']) {
      const { code, errors } = await sh('purge q', { terminal: true, input })
      assert.equal(code, 1)
      assert.match(errors, /Drop 2 ready messages of q\? \[y\/N\]/)
      assert.match(errors, /Nothing was dropped/)
    }
    const { code, output } = await sh('purge q', { terminal: true, input: 'y\n' })
    assert.deepEqual({ code, output }, { code: 0, output: 'Dropped 2 messages of q\n' })
  })
})

describe('redrive and move', () => {
  test('redrive brings the dead back, oldest first', async () => {
    const { sh } = await shellWith(3)
    assert.equal((await sh('redrive q --limit 1')).output, 'Moved 1 message from q.dead back to q\n')
    assert.deepEqual(jsonLines((await sh('redrive q --json')).output), [{ moved: 2 }])
    assert.equal((await sh('consume q')).output, '1000\n1001\n1002\n0\n1\n2\n')
    assert.equal((await sh('redrive q')).output, 'Moved 0 messages from q.dead back to q\n')
  })

  test('redrive --from takes a dead-letter queue of another name', async () => {
    const { sh } = await shellWith(2)
    await sh('send graveyard 9 --declare')
    assert.equal((await sh('redrive q --from graveyard')).code, 0)
    assert.equal((await sh('stats q --json')).output.includes('"ready":3'), true)
  })

  test('move takes what is ready to the tail of another queue', async () => {
    const { sh } = await shellWith(3)
    await sh('send p 0 --declare')
    assert.equal((await sh('move q p --limit 2')).output, 'Moved 2 messages from q to p\n')
    assert.equal((await sh('consume p')).output, '0\n1000\n1001\n')
    assert.equal((await sh('consume q')).output, '1002\n')
  })
})

describe('a process of its own', () => {
  test('a folder in use is said to be', async (t) => {
    const { sh, url } = await shellWith(1)
    const mq = await connect(url)
    t.after(() => mq.close())
    const { code, output, errors } = await ended(spawnMillrace(['queues'], url))
    assert.deepEqual({ code, output }, { code: 1, output: '' })
    assert.match(errors, /^millrace: .*\(DIRECTORY_LOCKED\)\n$/)
    assert.equal((await sh('queues')).code, 0, 'this process holds the lock')
  })

  test('SIGINT closes the engine and ends with 0 where that is how it ends', async () => {
    const { sh, url } = await shellWith(2)
    const child = spawnMillrace(['consume', 'q', '--follow'], url)
    child.stdout.once('data', () => child.kill('SIGINT'))
    const { code, errors } = await ended(child)
    assert.deepEqual({ code, errors }, { code: 0, errors: '' })
    assert.equal((await sh('stats q --json')).output.includes('"unacked":0'), true)
  })
})
