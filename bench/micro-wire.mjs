/**
 * What the codec alone takes of one core, in millions of messages a second: no socket, no broker.
 *
 *   npm run build && node bench/micro-wire.mjs [read-16 write-1024 …] [--dist folder] [--seconds 1]
 *
 * `read` is basic.publish with header and body, out of chunks of 64 KB as a socket gives them; `write` is basic.deliver
 * with header and body, taken once a 64 KB (`varied`: each message with properties of its own); `ack` is a confirm or acknowledgement each way.
 */
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dist: { type: 'string', default: new URL('../dist/', import.meta.url).pathname },
    seconds: { type: 'string', default: '1' },
  },
})
const load = (path) => import(new URL(path, pathToFileURL(`${values.dist}/`)))
const {
  ContentReader,
  FrameReader,
  FrameWriter,
  PublishReader,
  SettlementReader,
  encodeProperties,
  methodIdAt,
  methodIds,
} = await load('wire/index.js')
const { Message } = await load('model/message.js')

const chunkBytes = 65_536
const properties = encodeProperties({ deliveryMode: 2, contentType: 'application/json' })

/** A server's way of reading, as far as the codec goes. */
class Sink {
  messages = 0
  bytes = 0
  #publish = new PublishReader()
  #settlement = new SettlementReader()
  #content = new ContentReader({ maximumBodyBytes: 134_217_728 })

  protocolHeader() {}

  method(channel, buffer, start, end) {
    this.#content.checkMethod()
    if (methodIdAt(buffer, start) === methodIds['basic.publish']) {
      this.#publish.read(buffer, start, end)
      this.#content.expect()
    } else {
      this.#settlement.read(buffer, start, end)
      this.messages++
    }
  }

  header(channel, buffer, start, end) {
    if (this.#content.header(buffer, start, end)) this.#complete()
  }

  body(channel, buffer, start, end) {
    if (this.#content.payload(buffer, start, end)) this.#complete()
  }

  heartbeat() {}

  #complete() {
    const { exchange, routingKey } = this.#publish
    const message = Message.ofBytes(exchange, routingKey, this.#content.propertyBytes, this.#content.body)
    this.messages++
    this.bytes += message.bodyLength
  }
}

/** Gives the rate at which a stream of what `write` writes is read. */
function reading(write) {
  const writer = new FrameWriter({ frameMaxBytes: 131_072 })
  for (let count = 0; writer.bytes < 4_000_000; count++) write(writer, count)
  const stream = Buffer.concat(writer.take())
  const chunks = []
  for (let at = 0; at < stream.length; at += chunkBytes) chunks.push(stream.subarray(at, at + chunkBytes))
  const sink = new Sink()
  const reader = new FrameReader(sink, { expectsProtocolHeader: false, frameMaxBytes: 131_072 })
  return () => {
    const before = sink.messages
    for (const chunk of chunks) reader.push(chunk)
    return sink.messages - before
  }
}

function writing(write) {
  const writer = new FrameWriter({ frameMaxBytes: 131_072 })
  let tag = 0
  return () => {
    const first = tag
    for (let turn = 0; turn < 50; turn++) {
      while (writer.bytes < chunkBytes) write(writer, ++tag)
      writer.take()
    }
    return tag - first
  }
}

const publish = {
  type: 'basic.publish',
  exchange: '',
  routingKey: 'emails',
  mandatory: false,
  immediate: false,
}
const publishing = (body) => reading((writer) => writer.content(1, publish, properties, body))
const delivering = (body) => {
  const message = Message.ofBytes('', 'emails', properties, body)
  return writing((writer, tag) => writer.deliver(1, 'consumer-1', tag, false, message))
}

/** As `delivering`, but each message has properties of its own. */
const deliveringVaried = (body) => {
  const messages = Array.from({ length: 64 }, (_, id) =>
    Message.ofBytes('', 'emails', encodeProperties({ deliveryMode: 2, messageId: `message-${id}` }), body),
  )
  return writing((writer, tag) => writer.deliver(1, 'consumer-1', tag, false, messages[tag % 64]))
}

const cases = {
  'read-16': publishing(Buffer.alloc(16, 'x')),
  'read-1024': publishing(Buffer.alloc(1024, 'x')),
  'read-ack': reading((writer, tag) => writer.ack(1, tag, false)),
  'write-16': delivering(Buffer.alloc(16, 'x')),
  'write-varied-16': deliveringVaried(Buffer.alloc(16, 'x')),
  'write-1024': delivering(Buffer.alloc(1024, 'x')),
  'write-text-1024': delivering('x'.repeat(1024)),
  'write-ack': writing((writer, tag) => writer.ack(1, tag, true)),
}

for (const [name, run] of Object.entries(cases)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue
  const rates = []
  rate(run, 0.3)
  for (let round = 0; round < 5; round++) rates.push(rate(run, Number(values.seconds) / 5))
  const best = Math.max(...rates) / 1e6
  console.log(`${name.padEnd(16)} ${best.toFixed(2)} M/s  ${(1000 / best).toFixed(0)} ns`)
}

function rate(run, seconds) {
  const startedMs = performance.now()
  let count = 0
  while (performance.now() - startedMs < seconds * 1000) count += run()
  return (count / (performance.now() - startedMs)) * 1000
}
