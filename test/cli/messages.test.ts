import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/index.ts'
import { ended, jsonLines, millrace, openInput, shell, spawnMillrace } from './harness.ts'

describe('send', () => {
  test('stores JSON, and says the id', async () => {
    const { sh } = await shell()
    const sent = await sh(['send', 'q', '{"to":"a@b.c"}', '--declare', '--id', 'first'])
    assert.deepEqual(sent, { code: 0, output: 'Sent to q (id first)\n', errors: '' })
    const [message] = jsonLines((await sh('peek q --json')).output)
    assert.equal(message?.['id'], 'first')
    assert.deepEqual(message?.['data'], { to: 'a@b.c' })
  })

  test('a queue that is missing is made only with --declare', async () => {
    const { sh } = await shell()
    await sh('send q 1 --declare')
    const missing = await sh('send p 1')
    assert.equal(missing.code, 3)
    assert.match(missing.errors, /There is no queue p; --declare makes it/)
  })

  test('takes text, and the standard input without its last line break', async () => {
    const { sh } = await shell()
    await sh(['send', 'q', 'two words', '--text', '--declare'])
    await sh('send q --text', { input: 'from\nstdin\n' })
    await sh('send q', { input: '[1,\n2]\n' })
    assert.equal((await sh('consume q')).output, 'two words\nfrom\nstdin\n[1,2]\n')
  })

  test('--lines sends each line in order', async () => {
    const { sh } = await shell()
    const input = Array.from({ length: 2_500 }, (_, index) => `${index}\n`).join('')
    const sent = await sh('send q --lines --declare', { input })
    assert.equal(sent.output, 'Sent 2,500 messages to q\n')
    assert.equal((await sh('consume q')).output, input)
  })

  test('--lines sends each line when it comes, not when the input ends', async (t) => {
    const { sh, url } = await shell()
    const mq = await connect(url)
    t.after(() => mq.close())
    const queue = mq.queue('q')
    await queue.declare()
    const input = openInput()
    const sending = sh('send q --lines', { input })
    input.write('1\n')
    while ((await queue.stats()).ready === 0) await sleep(5)
    input.end('2')
    assert.equal((await sending).output, 'Sent 2 messages to q\n')
  })

  test('a line that is not JSON is named; those before it are in the queue', async () => {
    const { sh } = await shell()
    const { code, errors } = await sh('send q --lines --declare', { input: '1\n\n2\noops\n3\n' })
    assert.equal(code, 2)
    assert.match(errors, /2 messages went to q before this\nmillrace: line 4 is not JSON/)
    assert.equal((await sh('consume q')).output, '1\n2\n')
  })

  test('an empty input is an error', async () => {
    const { sh } = await shell()
    const { code, errors } = await sh('send q --declare', { input: '' })
    assert.equal(code, 2)
    assert.match(errors, /the standard input is empty/)
  })

  test('--json tells each id; --dedupe tells a duplicate', async () => {
    const { sh } = await shell()
    const first = jsonLines((await sh('send q 1 --declare --dedupe k --json')).output)
    const second = jsonLines((await sh('send q 1 --dedupe k --json')).output)
    assert.deepEqual(second, [{ id: first[0]?.['id'], duplicate: true }])
    assert.match(
      (await sh('send q 1 --dedupe k')).output,
      /^Not sent: q was given a message with this dedupe key/,
    )
    assert.equal(jsonLines((await sh('send q 1 --count 3 --json')).output).length, 3)
    assert.equal(
      (await sh('send q 1 --count 3 --dedupe l')).output,
      'Sent 1 message to q; 2 duplicates left out\n',
    )
  })

  test('--delay, --header, --key and --priority reach the message', async () => {
    const { sh } = await shell()
    await sh('send q 1 --declare --delay 1h --header tenant=acme --header empty= --key k --priority 3')
    const [message] = jsonLines((await sh('peek q --state delayed --json')).output)
    assert.deepEqual(message?.['headers'], { tenant: 'acme', empty: '' })
    const inMs = Date.parse(String(message?.['dueAt'])) - Date.now()
    assert(inMs > 3_500_000 && inMs <= 3_600_000, String(inMs))
    assert.match((await sh('peek q --state delayed')).output, /in (60|59)m/)
  })

  test('Ctrl-C ends the input; what was sent stays sent', async () => {
    const { sh, url } = await shell()
    const mq = await connect(url)
    const queue = mq.queue('q')
    await queue.declare()
    const controller = new AbortController()
    const input = openInput()
    const sending = sh('send q --lines', { input, interrupted: controller.signal })
    input.write('1\n2\n')
    while ((await queue.stats()).ready < 2) await sleep(5)
    controller.abort()
    assert.equal((await sending).code, 130)
    await mq.close()
    assert.equal((await sh('consume q')).output, '1\n2\n')
  })
})

describe('consume', () => {
  test('takes what is there and ends; an empty queue is code 3', async () => {
    const { sh } = await shell()
    await sh('send q --lines --declare', { input: '1\n2\n3\n' })
    assert.deepEqual(await sh('consume q --count 2'), { code: 0, output: '1\n2\n', errors: '' })
    assert.deepEqual(await sh('consume q'), { code: 0, output: '3\n', errors: '' })
    assert.deepEqual(await sh('consume q'), { code: 3, output: '', errors: '' })
  })

  test('--json prints the message with its envelope', async () => {
    const { sh } = await shell()
    await sh('send q 7 --declare --id a --header h=1')
    const [message] = jsonLines((await sh('consume q --json')).output)
    const { sentAt, ...rest } = message ?? {}
    assert.deepEqual(rest, {
      id: 'a',
      data: 7,
      attempt: 1,
      headers: { h: '1' },
      exchange: '',
      routingKey: 'q',
    })
    assert(!Number.isNaN(Date.parse(String(sentAt))))
  })

  test('bytes are text where they are UTF-8, else base64', async () => {
    const { sh, url } = await shell()
    const mq = await connect(url)
    const queue = mq.queue('q')
    await queue.send(Buffer.from('grün'))
    await queue.send(Buffer.from([0xff, 0xfe]))
    await mq.close()
    const peeked = jsonLines((await sh('peek q --json')).output).map((message) => message['data'])
    assert.deepEqual(peeked, [{ base64: 'Z3LDvG4=' }, { base64: '//4=' }])
    assert.equal((await sh('consume q')).output, 'grün\nbase64://4=\n')
  })

  test('--no-ack puts every message back in its place, its attempt unchanged', async () => {
    const { sh } = await shell()
    await sh('send q --lines --declare', { input: '1\n2\n3\n' })
    assert.deepEqual(await sh('consume q --no-ack'), { code: 0, output: '1\n2\n3\n', errors: '' })
    assert.deepEqual(await sh('consume q --no-ack --count 2'), { code: 0, output: '1\n2\n', errors: '' })
    const messages = jsonLines((await sh('consume q --json')).output)
    assert.deepEqual(
      messages.map(({ data, attempt }) => [data, attempt]),
      [
        [1, 1],
        [2, 1],
        [3, 1],
      ],
    )
  })

  test('--follow waits for more until Ctrl-C, which is its normal end', async (t) => {
    const { sh, url } = await shell()
    const mq = await connect(url)
    t.after(() => mq.close())
    const queue = mq.queue('q')
    await queue.send(1)
    const controller = new AbortController()
    let seen = ''
    const following = sh('consume q --follow', {
      interrupted: controller.signal,
      onOutput: (text) => {
        seen += text
        if (seen === '1\n') void queue.send(2)
        if (seen === '1\n2\n') controller.abort()
      },
    })
    assert.deepEqual(await following, { code: 0, output: '1\n2\n', errors: '' })
    assert.deepEqual((({ ready, unacked }) => ({ ready, unacked }))(await queue.stats()), {
      ready: 0,
      unacked: 0,
    })
  })

  test('a paused queue is said to be, instead of waiting for ever', async () => {
    const { sh, url } = await shell()
    const mq = await connect(url)
    const queue = mq.queue('q')
    await queue.send(1)
    await queue.pause()
    await mq.close()
    const { code, errors } = await sh('consume q')
    assert.equal(code, 3)
    assert.match(errors, /1 are ready, but the queue is paused/)
  })

  test('a reader that goes away loses no message that was not written', async () => {
    const { sh, url } = await shell()
    const count = 5_000
    const input = Array.from({ length: count }, (_, index) => `"${index}-${'x'.repeat(200)}"\n`).join('')
    await sh('send q --lines --declare', { input })
    const child = spawnMillrace(['consume', 'q'], url)
    child.stdout.once('data', () => child.stdout.destroy())
    const { code, output, errors } = await ended(child)
    assert.deepEqual({ code, errors }, { code: 0, errors: '' })
    const left = jsonLines((await sh('consume q --json')).output).map(({ data }) =>
      Number.parseInt(String(data), 10),
    )
    const first = left[0] ?? 0
    assert(output.length > 0 && first > 0 && first < count, String(first))
    assert.deepEqual(
      left,
      Array.from({ length: count - first }, (_, index) => first + index),
    )
  })
})

describe('peek', () => {
  test('changes nothing, and an empty state is code 3', async () => {
    const { sh } = await shell()
    await sh('send q --lines --declare', { input: '1\n2\n3\n' })
    const first = await sh('peek q --limit 2')
    assert.equal(first.code, 0)
    assert.equal(first.output.trimEnd().split('\n').length, 3)
    assert.match(first.output, /^ID +ATTEMPT +SENT +DATA\n/)
    const dead = await sh('peek q --state dead')
    assert.deepEqual(dead, { code: 3, output: '', errors: 'millrace: q has no dead messages\n' })
    assert.equal((await sh('consume q')).output, '1\n2\n3\n')
  })

  test('shows why a message is dead, and text of many lines on one', async () => {
    const { sh, url } = await shell()
    const mq = await connect(url)
    const queue = mq.queue<string>('q', { attempts: 1 })
    await queue.send('a\nb')
    const worker = queue.work(() => {
      throw new Error('no such address')
    })
    await new Promise<void>((resolve) => worker.on('dead', () => resolve()))
    await mq.close()
    const { output } = await sh('peek q --state dead')
    assert.match(output, /attempts: no such address +a b\n$/)
  })
})

test('memory: is a fresh engine for each command', async () => {
  const { code, errors } = await millrace(['queues', '--url', 'memory:'])
  assert.deepEqual({ code, errors }, { code: 0, errors: 'millrace: there are no queues\n' })
})
