/** What concerns the connection itself: size, number, heartbeats, blocking, virtual hosts, passwords. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { startTestBroker } from './broker.ts'
import type { TestBroker } from './broker.ts'
import { needPython } from './clients.ts'
import { everyone, ring } from './peers/pairs.ts'
import { amqplibPeer } from './peers/amqplib-peer.ts'
import type { Peer, PeerKind } from './peers/peer.ts'
import { PikaPeer, pikaPeer } from './peers/pika-peer.ts'

const skipPika = await needPython('pika')

let broker: TestBroker
before(async () => {
  broker = await startTestBroker({ memoryBytes: 48_000_000 })
})
after(() => broker[Symbol.asyncDispose]())

describe('bodies larger than a frame arrive whole', () => {
  const bodies = [1, 8_184, 131_064, 131_065, 5_000_000].map((size) => randomBytes(size))
  for (const { name, sender, receiver, skip } of ring) {
    test(name, { skip }, async () => {
      await using from = await sender.connect(broker.url())
      await using to = await receiver.connect(broker.url())
      const queue = `large ${name}`
      await to.declareQueue(queue)
      const { deliveries } = await to.consume(queue, { prefetch: 1 })
      for (const body of bodies) await from.publish({ exchange: '', routingKey: queue, body })
      for (const body of bodies) {
        const message = await deliveries.next()
        assert(message.body.equals(body), `${body.length} bytes`)
        await message.ack()
      }
    })
  }
})

test('a hundred channels of one connection publish and consume, large and small mixed', async () => {
  const connection = await connect(broker.url())
  const channels = await Promise.all(Array.from({ length: 100 }, () => connection.createConfirmChannel()))
  const got: string[][] = channels.map(() => [])
  const done: Promise<void>[] = []
  for (const [index, channel] of channels.entries()) {
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const all = new Promise<void>((resolve) => {
      void channel.consume(queue, (message) => {
        assert(message !== null)
        got[index]?.push(`${message.content.length}:${message.content.at(-1)}`)
        channel.ack(message)
        if (got[index]?.length === 4) resolve()
      })
    })
    done.push(all)
    for (const size of [10, 200_000, 0, 3]) channel.sendToQueue(queue, Buffer.alloc(size, index))
  }
  await Promise.all(channels.map((channel) => channel.waitForConfirms()))
  await Promise.all(done)
  for (const [index, texts] of got.entries()) {
    assert.deepEqual(texts, [`10:${index}`, `200000:${index}`, '0:undefined', `3:${index}`])
  }
  await connection.close()
})

describe('heartbeats', () => {
  test('keep an idle connection open', async () => {
    const peers = await Promise.all(
      everyone
        .filter(({ skip }) => skip === false)
        .map(({ kind }) => kind.connect(`${broker.url()}?heartbeat=3`)),
    )
    const queues = await Promise.all(peers.map((peer) => peer.declareQueue('', { exclusive: true })))
    // A peer is given up after two silent intervals.
    await sleep(7_000)
    for (const [index, peer] of peers.entries()) {
      const { queue } = queues[index] ?? { queue: '' }
      assert.equal((await peer.declareQueue(queue, { passive: true })).queue, queue)
      await peer[Symbol.asyncDispose]()
    }
  })

  test('that stay out end the connection, and what it held goes to another', { skip: skipPika }, async () => {
    await using sender = await amqplibPeer.connect(broker.url())
    await sender.declareQueue('frozen')
    await sender.publish({ exchange: '', routingKey: 'frozen', body: 'held' })
    await using frozen = await PikaPeer.open(`${broker.url()}?heartbeat=2`)
    await (await frozen.consume('frozen')).deliveries.next()
    const { deliveries } = await sender.consume('frozen')
    frozen.freeze()
    const message = await deliveries.next()
    assert.deepEqual([message.body.toString(), message.redelivered], ['held', true])
  })
})

describe('virtual hosts', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(`keep queues of one name apart: ${name}`, { skip }, async () => {
      const vhost = `shop/${name}`
      await broker.addVhost(vhost)
      await using inside = await sender.connect(broker.url(vhost))
      await using outside = await receiver.connect(broker.url())
      for (const peer of [inside, outside]) await peer.declareQueue(`same ${name}`)
      await inside.publish({ exchange: '', routingKey: `same ${name}`, body: 'inside' })
      assert.equal(await outside.get(`same ${name}`), undefined)
      assert.equal((await inside.get(`same ${name}`))?.body.toString(), 'inside')
    })
  }
})

describe('who is refused hears why, in the words of the client', () => {
  /** On RabbitMQ 3.10, and on Millrace. */
  const words: Record<string, { readonly password: RegExp; readonly vhost: RegExp }> = {
    amqplib: {
      password:
        /403 \(ACCESS-REFUSED\) with message "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN/,
      // It does not look into what it did not expect.
      vhost: /Expected ConnectionOpenOk; got <ConnectionClose channel:0>/,
    },
    pika: {
      password: /ProbableAuthenticationError: .*\(403\) 'ACCESS_REFUSED - Login was refused/,
      vhost: /ProbableAccessDeniedError: .*\(530\) 'NOT_ALLOWED - vhost nowhere not found/,
    },
    'rabbitmq-client': {
      password: /ACCESS_REFUSED - Login was refused/,
      vhost: /NOT_ALLOWED - vhost nowhere not found/,
    },
    '@cloudamqp/amqp-client': {
      password: /ACCESS_REFUSED - Login was refused.* \(403\)/,
      vhost: /NOT_ALLOWED - vhost nowhere not found \(530\)/,
    },
  }
  for (const { kind, skip } of everyone) {
    test(`wrong password: ${kind.name}`, { skip }, async () => {
      const url = broker.url().replace(':guest@', ':wrong@')
      await assert.rejects(kind.connect(url), words[kind.name]?.password ?? /-/)
    })

    test(`unknown virtual host: ${kind.name}`, { skip }, async () => {
      await assert.rejects(kind.connect(broker.url('nowhere')), words[kind.name]?.vhost ?? /-/)
    })
  }
})

describe('a broker short of memory', () => {
  for (const { kind, skip } of everyone) {
    test(`says so to ${kind.name}, and takes the message later`, { skip }, async () => {
      await using publisher = await kind.connect(broker.url())
      await using consumer = await amqplibPeer.connect(broker.url())
      const queue = `blocked ${kind.name}`
      await consumer.declareQueue(queue)
      const { deliveries } = await consumer.consume(queue)
      await publisher.publish({ exchange: '', routingKey: queue, body: 'before' })
      await broker.block(true)
      const confirmed = publisher.publish({ exchange: '', routingKey: queue, body: 'meanwhile' })
      await waitForBlock(publisher, kind)
      assert.equal((await deliveries.next()).body.toString(), 'before')
      await broker.block(false)
      if (kind !== pikaPeer) assert.equal(await publisher.blocked.next(), '')
      // One client keeps the message back from a blocked connection, by an error that says so.
      await confirmed.catch(() => publisher.publish({ exchange: '', routingKey: queue, body: 'meanwhile' }))
      assert.equal((await deliveries.next()).body.toString(), 'meanwhile')
    })
  }
})

/** pika waits for the confirm and hears nothing meanwhile, so another one tells us that the alarm is on. */
async function waitForBlock(publisher: Peer, kind: PeerKind): Promise<void> {
  if (kind !== pikaPeer) {
    assert.match(await publisher.blocked.next(), /./)
    return
  }
  await using other = await amqplibPeer.connect(broker.url())
  other.publish({ exchange: 'amq.fanout', routingKey: '', body: 'x' }).catch(() => undefined)
  assert.match(await other.blocked.next(), /./)
}

test('who is connected to a virtual host that is deleted, or as a user, is told and leaves; others stay', async () => {
  await broker.addVhost('gone')
  await broker.addUser({ name: 'leaver', password: 'p', vhost: '/' })
  const asLeaver = broker.url().replace('guest:guest', 'leaver:p')
  const [inVhost, leaver, other] = await Promise.all([
    connect(broker.url('gone')),
    connect(asLeaver),
    connect(broker.url()),
  ])
  for (const connection of [inVhost, leaver]) {
    const channel = await connection.createChannel()
    const { queue } = await channel.assertQueue('')
    await channel.consume(queue, () => undefined)
  }
  const end = (connection: typeof other) =>
    new Promise<string>((resolve) => {
      connection.on('close', (error?: Error & { code?: number }) =>
        resolve(`${error?.code} ${/"(.*)"/.exec(error?.message ?? '')?.[1]}`),
      )
    })
  const ends = Promise.all([end(inVhost), end(leaver)])
  await broker.deleteVhost('gone')
  await broker.deleteUser('leaver')
  assert.deepEqual(await ends, [
    "320 CONNECTION_FORCED - vhost 'gone' is deleted",
    "320 CONNECTION_FORCED - user 'leaver' is deleted",
  ])
  await assert.rejects(connect(asLeaver), /ACCESS.REFUSED/)
  await (await other.createChannel()).assertQueue('', { exclusive: true })
  await other.close()
})
