/** The patterns of RabbitMQ's tutorials, each with two different clients at its ends. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startTestBroker } from './broker.ts'
import type { TestBroker } from './broker.ts'
import { allPairs, ring } from './peers/pairs.ts'
import type { Peer } from './peers/peer.ts'

let broker: TestBroker
before(async () => {
  broker = await startTestBroker()
})
after(() => broker[Symbol.asyncDispose]())

describe('hello world: a message arrives as it was sent', () => {
  const properties = {
    contentType: 'application/json',
    contentEncoding: 'identity',
    headers: { text: 'ünïcode', number: 7, negative: -70_000, yes: true, list: [1, 'a'], table: { a: 1 } },
    deliveryMode: 2,
    priority: 3,
    correlationId: 'c-1',
    replyTo: 'answers',
    expiration: '3600000',
    messageId: 'm-1',
    timestamp: 1_700_000_000,
    type: 'greeting',
    userId: 'guest',
    appId: 'interop',
  }
  for (const { name, sender, receiver, skip } of allPairs) {
    test(name, { skip }, async () => {
      await using to = await receiver.connect(broker.url())
      await using from = await sender.connect(broker.url())
      const queue = `hello ${name}`
      await to.declareQueue(queue)
      const { deliveries } = await to.consume(queue)
      await from.publish({ exchange: '', routingKey: queue, body: '{"hello":"wörld"}', properties })
      await from.publish({ exchange: '', routingKey: queue, body: Buffer.from([0, 255, 206, 0]) })
      await from.publish({ exchange: '', routingKey: queue, body: '' })
      const [full, bare, empty] = await deliveries.take(3)
      assert(full !== undefined && bare !== undefined)
      const { exchange, routingKey, redelivered } = full
      assert.deepEqual(
        { exchange, routingKey, redelivered },
        { exchange: '', routingKey: queue, redelivered: false },
      )
      assert.deepEqual(full.properties, properties)
      assert.equal(textOf(full), '{"hello":"wörld"}')
      assert.deepEqual(bare.body, Buffer.from([0, 255, 206, 0]))
      assert.equal(empty?.body.length, 0)
      await empty.ack()
    })
  }
})

describe('work queue: prefetch 1 shares the work, and a dead worker`s message goes to another', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(name, { skip }, async () => {
      await using boss = await sender.connect(broker.url())
      await using one = await receiver.connect(broker.url())
      await using other = await receiver.connect(broker.url())
      const queue = `tasks ${name}`
      await boss.declareQueue(queue, { durable: true })
      const first = await one.consume(queue, { prefetch: 1 })
      const second = await other.consume(queue, { prefetch: 1 })
      for (const body of ['a', 'b', 'c']) {
        await boss.publish({ exchange: '', routingKey: queue, body, properties: { deliveryMode: 2 } })
      }
      const held = await first.deliveries.next()
      const done = await second.deliveries.next()
      assert.deepEqual([textOf(held), textOf(done)].sort(), ['a', 'b'])
      assert.equal((await boss.declareQueue(queue, { passive: true })).messages, 1)
      one.kill()
      await done.ack()
      // 'c' and what the dead one held, in their order; the dead one may have been missed a moment later.
      const rest = [await second.deliveries.next()]
      await rest[0]?.ack()
      rest.push(await second.deliveries.next())
      await rest[1]?.ack()
      const redelivered = rest.map((message) => [textOf(message), message.redelivered])
      assert.deepEqual(redelivered.sort(), [
        [textOf(held), true],
        ['c', false],
      ])
      assert.equal((await boss.declareQueue(queue, { passive: true })).messages, 0)
    })
  }
})

describe('publish/subscribe: a fanout exchange copies to each subscriber`s own queue', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(name, { skip }, async () => {
      await using from = await sender.connect(broker.url())
      await using one = await receiver.connect(broker.url())
      await using other = await sender.connect(broker.url())
      const exchange = `logs ${name}`
      await from.declareExchange(exchange, 'fanout')
      const inboxes = await Promise.all([subscribe(one, exchange, ['']), subscribe(other, exchange, [''])])
      await from.publish({ exchange, routingKey: 'whatever', body: 'news' })
      for (const inbox of inboxes) assert.equal(textOf(await inbox.next()), 'news')
    })
  }
})

describe('routing: a direct exchange sends by the exact key', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(name, { skip }, async () => {
      await using from = await sender.connect(broker.url())
      await using to = await receiver.connect(broker.url())
      const exchange = `severities ${name}`
      await from.declareExchange(exchange, 'direct', { durable: true })
      const errors = await subscribe(to, exchange, ['error'])
      const all = await subscribe(to, exchange, ['info', 'warning', 'error'])
      for (const routingKey of ['info', 'error', 'debug', 'warning']) {
        await from.publish({ exchange, routingKey, body: routingKey })
      }
      assert.deepEqual((await all.take(3)).map(textOf), ['info', 'error', 'warning'])
      assert.deepEqual((await errors.take(1)).map(textOf), ['error'])
      assert.equal(errors.size, 0)
    })
  }
})

describe('topics: * is one word, # any number', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(name, { skip }, async () => {
      await using from = await sender.connect(broker.url())
      await using to = await receiver.connect(broker.url())
      const exchange = `topics ${name}`
      await from.declareExchange(exchange, 'topic')
      const orange = await subscribe(to, exchange, ['*.orange.*'])
      const lazy = await subscribe(to, exchange, ['*.*.rabbit', 'lazy.#'])
      const keys = [
        'quick.orange.rabbit',
        'lazy',
        'lazy.orange.elephant',
        'orange',
        'lazy.brown.fox.too',
        'end.orange.',
      ]
      for (const routingKey of keys) await from.publish({ exchange, routingKey, body: routingKey })
      const atOrange = ['quick.orange.rabbit', 'lazy.orange.elephant', 'end.orange.']
      assert.deepEqual((await orange.take(3)).map(textOf), atOrange)
      const atLazy = ['quick.orange.rabbit', 'lazy', 'lazy.orange.elephant', 'lazy.brown.fox.too']
      assert.deepEqual((await lazy.take(4)).map(textOf), atLazy)
    })
  }
})

describe('headers: all of them, or any', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(name, { skip }, async () => {
      await using from = await sender.connect(broker.url())
      await using to = await receiver.connect(broker.url())
      const exchange = `headers ${name}`
      await from.declareExchange(exchange, 'headers')
      const wanted = { format: 'pdf', pages: 2 }
      const all = await subscribe(to, exchange, [''], { ...wanted, 'x-match': 'all' })
      const any = await subscribe(to, exchange, [''], { ...wanted, 'x-match': 'any' })
      const sent = [
        { format: 'pdf', pages: 2, more: true },
        { format: 'pdf' },
        { format: 'zip' },
        { pages: 2 },
      ]
      for (const headers of sent) {
        await from.publish({
          exchange,
          routingKey: '',
          body: JSON.stringify(headers),
          properties: { headers },
        })
      }
      const got = (await any.take(3)).map((message) => JSON.parse(textOf(message)))
      assert.deepEqual(got, [sent[0], sent[1], sent[3]])
      assert.deepEqual(JSON.parse(textOf(await all.next())), sent[0])
      assert.equal(all.size, 0)
    })
  }
})

describe('request and reply', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(`by a reply queue: ${name}`, { skip }, async () => {
      await using asking = await sender.connect(broker.url())
      await using answering = await receiver.connect(broker.url())
      const queue = `rpc ${name}`
      await answering.declareQueue(queue)
      const { queue: replyTo } = await asking.declareQueue('', { exclusive: true })
      await askAndAnswer({ asking, answering, queue, replyTo, noAck: false })
    })

    test(`by direct reply-to: ${name}`, { skip }, async () => {
      await using asking = await sender.connect(broker.url())
      await using answering = await receiver.connect(broker.url())
      const queue = `direct rpc ${name}`
      await answering.declareQueue(queue)
      await askAndAnswer({ asking, answering, queue, replyTo: 'amq.rabbitmq.reply-to', noAck: true })
    })
  }
})

/** Two questions, answered in the other order. */
async function askAndAnswer(setting: {
  asking: Peer
  answering: Peer
  queue: string
  replyTo: string
  noAck: boolean
}): Promise<void> {
  const { asking, answering, queue, replyTo, noAck } = setting
  const questions = await answering.consume(queue)
  const answers = await asking.consume(replyTo, { noAck })
  for (const [body, correlationId] of [
    ['20', 'first'],
    ['21', 'second'],
  ] as const) {
    await asking.publish({ exchange: '', routingKey: queue, body, properties: { correlationId, replyTo } })
  }
  for (const question of (await questions.deliveries.take(2)).toReversed()) {
    const { correlationId = '', replyTo: routingKey = '' } = question.properties
    const body = String(Number(textOf(question)) * 2)
    await answering.publish({ exchange: '', routingKey, body, properties: { correlationId } })
    await question.ack()
  }
  const received = await answers.deliveries.take(2)
  assert.deepEqual(
    received.map((answer) => [answer.properties.correlationId, textOf(answer)]),
    [
      ['second', '42'],
      ['first', '40'],
    ],
  )
}

/** A subscriber's own queue, named by the server. */
async function subscribe(peer: Peer, exchange: string, keys: readonly string[], args = {}) {
  const { queue } = await peer.declareQueue('', { exclusive: true })
  for (const key of keys) await peer.bindQueue(queue, exchange, key, args)
  return (await peer.consume(queue, { noAck: true })).deliveries
}

function textOf(message: { readonly body: Buffer } | undefined): string {
  assert(message !== undefined)
  return message.body.toString()
}
