/** librabbitmq, by its command line tools, on one end, and Node and Python on the other. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { startTestBroker } from './broker.ts'
import type { TestBroker } from './broker.ts'
import { needAmqpTools } from './clients.ts'
import { amqplibPeer } from './peers/amqplib-peer.ts'
import { everyone } from './peers/pairs.ts'
import type { Peer } from './peers/peer.ts'

const run = promisify(execFile)
const skip = await needAmqpTools()

let broker: TestBroker
before(async () => {
  broker = await startTestBroker()
})
after(() => broker[Symbol.asyncDispose]())

/** What the tool wrote. */
async function tool(name: string, ...words: string[]): Promise<string> {
  return (await run(`/usr/bin/${name}`, [`--url=${broker.url()}`, ...words])).stdout
}

/** It names its queue before it binds it, so only a message that was not returned tells that it is bound. */
async function publishUntilBound(peer: Peer): Promise<void> {
  for (;;) {
    await peer.publish({ exchange: 'amq.topic', routingKey: 'other', body: 'not this' })
    await peer.publish({ exchange: 'amq.topic', routingKey: 'news.at.ten', body: 'this', mandatory: true })
    if (peer.returned.size === 0) return
    await peer.returned.next()
  }
}

describe('amqp-tools', { skip }, () => {
  for (const { kind, skip: skipKind } of everyone) {
    test(`amqp-publish to ${kind.name}, and back to amqp-get`, { skip: skipKind }, async () => {
      await using peer = await kind.connect(broker.url())
      const queue = `tools-${kind.name}`
      assert.equal(await tool('amqp-declare-queue', '--durable', `--queue=${queue}`), `${queue}\n`)
      const words = ['--persistent', '--content-type=text/plain', '--header=colour: blue', '--body=to you']
      await tool('amqp-publish', '--exchange=', `--routing-key=${queue}`, ...words)
      const message = await peer.get(queue)
      assert.equal(message?.body.toString(), 'to you')
      assert.equal(message.properties.contentType, 'text/plain')
      assert.equal(message.properties.deliveryMode, 2)
      assert.deepEqual(message.properties.headers, { colour: 'blue' })
      await message.ack()

      await peer.publish({ exchange: '', routingKey: queue, body: 'to the tools' })
      assert.equal(await tool('amqp-get', `--queue=${queue}`), 'to the tools')
      await assert.rejects(tool('amqp-get', `--queue=${queue}`), { code: 2 })
      assert.equal(await tool('amqp-delete-queue', `--queue=${queue}`), '0\n')
    })
  }

  test('amqp-consume hands messages to a program, with prefetch, and acknowledges', async () => {
    await using peer = await amqplibPeer.connect(broker.url())
    await peer.declareQueue('tasks')
    const bodies = ['one', 'two', 'three'].map((word) => `${word}\n`)
    for (const body of bodies) await peer.publish({ exchange: '', routingKey: 'tasks', body })
    assert.equal(
      await tool('amqp-consume', '--queue=tasks', '--prefetch-count=1', '--count=3', 'cat'),
      bodies.join(''),
    )
    assert.equal((await peer.declareQueue('tasks', { passive: true })).messages, 0)
  })

  test('amqp-consume binds a queue of its own to an exchange', async () => {
    await using peer = await amqplibPeer.connect(broker.url())
    const words = ['--exchange=amq.topic', '--routing-key=news.#', '--count=1', 'cat']
    const child = spawn('/usr/bin/amqp-consume', [`--url=${broker.url()}`, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    await publishUntilBound(peer)
    assert.equal(await text(child.stdout), 'this')
  })

  test('a body larger than a frame goes through', async () => {
    await tool('amqp-declare-queue', '--queue=large')
    const body = 'x'.repeat(999_999) + 'y'
    const child = spawn('/usr/bin/amqp-publish', [`--url=${broker.url()}`, '--routing-key=large'])
    child.stdin.end(body)
    assert.deepEqual(await once(child, 'exit'), [0, null])
    assert.equal(await tool('amqp-get', '--queue=large'), body)
  })

  test('a wrong password is said', async () => {
    const url = broker.url().replace(':guest@', ':wrong@')
    await assert.rejects(run('/usr/bin/amqp-get', [`--url=${url}`, '--queue=q']), (error) => {
      assert.match((error as { stderr: string }).stderr, /logging in to AMQP server|ACCESS_REFUSED/)
      return true
    })
  })
})
