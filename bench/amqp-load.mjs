/**
 * Producers and consumers by amqplib, each a phase in a process of its own: durable queue, persistent messages, publisher
 * confirms, prefetch, an ack for each, no Nagle delay.
 */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'

export const queueName = 'bench'

/** Phases for a scenario: `phase('produce', { url, … })`. */
export const loadPhases = { produce, consume }

/** Declares the queue, runs a consumer and a producer at once, and returns the consumer's rate. */
export async function throughAmqp(phase, url, options) {
  await withChannel(url, (channel) => channel.assertQueue(queueName, { durable: true }))
  const [consumed, produced] = await Promise.all([
    phase('consume', { url, load: options }),
    phase('produce', { url, load: { ...options, consumers: 1 } }),
  ])
  return { rate: consumed.rate, 'publish rate': produced.rate }
}

/** First all are published, then all are consumed. */
export async function apartAmqp(phase, url, options) {
  await withChannel(url, (channel) => channel.assertQueue(queueName, { durable: true }))
  const produced = await phase('produce', { url, load: options })
  const consumed = await phase('consume', { url, load: options })
  return { publish: produced.rate, consume: consumed.rate }
}

/** So many, `inFlight` of them not yet confirmed; the rate is that of the confirms, without the warm-up. */
async function produce({ url, load }) {
  const { messages, warmup, bytes, inFlight, consumers = 0 } = load
  const connection = await connect(url, { noDelay: true })
  const channel = await connection.createConfirmChannel()
  for (;;) {
    const { consumerCount } = await channel.checkQueue(queueName)
    if (consumerCount >= consumers) break
    await sleep(20)
  }
  const body = Buffer.alloc(bytes, 'x')
  const total = messages + warmup
  let startMs = 0
  await new Promise((resolve, reject) => {
    let sent = 0
    let confirmed = 0
    const onConfirm = (error) => {
      if (error) return reject(error)
      confirmed += 1
      if (confirmed === warmup) startMs = performance.now()
      if (confirmed === total) return resolve()
      if (sent < total) send()
    }
    const send = () => {
      sent += 1
      channel.sendToQueue(queueName, body, { persistent: true }, onConfirm)
    }
    for (let lane = 0; lane < Math.min(inFlight, total); lane++) send()
  })
  const rate = rateSince(startMs, messages)
  await connection.close()
  return { rate }
}

/** Until so many have come; the rate without the warm-up, which ends with the last ack in the broker's hands. */
async function consume({ url, load }) {
  const { messages, warmup, prefetch } = load
  const connection = await connect(url, { noDelay: true })
  const channel = await connection.createChannel()
  await channel.prefetch(prefetch)
  const total = messages + warmup
  let startMs = 0
  await new Promise((resolve, reject) => {
    let received = 0
    channel
      .consume(queueName, (message) => {
        channel.ack(message)
        received += 1
        if (received === warmup) startMs = performance.now()
        if (received === total) resolve()
      })
      .catch(reject)
  })
  await channel.checkQueue(queueName)
  const rate = rateSince(startMs, messages)
  await connection.close()
  return { rate }
}

export async function withChannel(url, run) {
  const connection = await connect(url, { noDelay: true })
  const channel = await connection.createChannel()
  const result = await run(channel)
  await connection.close()
  return result
}

export async function deleteQueue(url) {
  await withChannel(url, (channel) => channel.deleteQueue(queueName))
}

function rateSince(startMs, messages) {
  return Math.round(messages / ((performance.now() - startMs) / 1_000))
}
