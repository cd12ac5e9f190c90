/**
 * The least that can be called an AMQP broker: frames parsed in place, queues by name, one write and one fdatasync for what came
 * meanwhile, confirms after it, deliveries. No routing, no limits, no memory bound, no recovery, no error but a crash. It says
 * what Node.js itself leaves of the machine.
 *
 *   node bare-loop.mjs FOLDER PORT
 */
import { fdatasync, openSync, writev } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

const [, , folder, port] = process.argv
const file = openSync(join(folder, 'log'), 'a')
const queues = new Map()
let gathered = []
let waiting = []
let writing = false

function store(part, connection, channel, tag) {
  gathered.push(part)
  waiting.push({ connection, channel, tag })
}

function commit() {
  if (writing || gathered.length === 0) return
  writing = true
  const parts = gathered
  const confirms = waiting
  gathered = []
  waiting = []
  writeAll(parts, () =>
    fdatasync(file, () => {
      // One multiple ack for all of a channel: the last tag counts.
      const last = new Map()
      for (const confirm of confirms) last.set(confirm.channel, confirm)
      for (const { connection, channel, tag } of last.values()) connection.confirm(channel, tag)
      writing = false
      commit()
    }),
  )
}

function writeAll(parts, done) {
  const step = parts.splice(0, 1_000)
  writev(file, step, (error) => {
    if (error) throw error
    if (parts.length > 0) writeAll(parts, done)
    else done()
  })
}

class Connection {
  #socket
  #rest = Buffer.alloc(0)
  #started = false
  #out = Buffer.allocUnsafe(1 << 20)
  #length = 0
  #channels = new Map()
  #strings = new Map()

  constructor(socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk) => {
      this.#read(chunk)
      commit()
      for (const queue of queues.values()) queue.deliver()
      flushAll()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      connections.delete(this)
      for (const queue of queues.values()) queue.leave(this)
    })
  }

  #read(chunk) {
    const buffer = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    if (!this.#started) {
      this.#started = true
      at = 8
      this.method(0, 10, 10, startPayload)
    }
    while (at + 8 <= buffer.length) {
      const end = at + 7 + buffer.readUInt32BE(at + 3)
      if (end >= buffer.length) break
      this.#frame(buffer[at], buffer.readUInt16BE(at + 1), buffer, at + 7, end)
      at = end + 1
    }
    this.#rest = at === buffer.length ? empty : Buffer.from(buffer.subarray(at))
  }

  #frame(type, channel, buffer, start, end) {
    const state = this.#channels.get(channel)
    if (type === 1) this.#onMethod(channel, buffer.readUInt32BE(start), buffer, start + 4, state)
    else if (type === 2) {
      state.size = Number(buffer.readBigUInt64BE(start + 4))
      state.header = Buffer.from(buffer.subarray(start, end))
      state.parts = []
      if (state.size === 0) this.#onContent(channel, state)
    } else if (type === 3) {
      state.parts.push(Buffer.from(buffer.subarray(start, end)))
      state.size -= end - start
      if (state.size === 0) this.#onContent(channel, state)
    }
  }

  #onContent(channel, state) {
    const body = state.parts.length === 1 ? state.parts[0] : Buffer.concat(state.parts)
    const queue = queues.get(state.key)
    queue?.messages.push({ header: state.header, body })
    state.published += 1
    store(state.header, this, channel, state.published)
    gathered.push(body)
  }

  #onMethod(channel, id, buffer, at, state) {
    if (id === publish) {
      state.key = this.#text(buffer, at + 3 + buffer[at + 2])
      return
    }
    if (id === ack) {
      const tag = Number(buffer.readBigUInt64BE(at))
      if (buffer[at + 8] === 0) this.#settle(state, tag)
      else
        for (const outstanding of state.outstanding.keys())
          if (outstanding <= tag) this.#settle(state, outstanding)
      return
    }
    const [classId, methodId] = [id >>> 16, id & 0xffff]
    if (classId === 10 && methodId === 11) this.method(0, 10, 30, tunePayload)
    else if (classId === 10 && methodId === 40) this.method(0, 10, 41, Buffer.from([0]))
    else if (classId === 10 && methodId === 50) this.method(0, 10, 51, empty)
    else if (classId === 20 && methodId === 10) {
      this.#channels.set(channel, { published: 0, delivered: 0, prefetch: 0, outstanding: new Map() })
      this.method(channel, 20, 11, Buffer.alloc(4))
    } else if (classId === 20 && methodId === 40) this.method(channel, 20, 41, empty)
    else if (classId === 50 && methodId === 10) this.#declare(channel, this.#text(buffer, at + 2))
    else if (classId === 50 && methodId === 40) this.method(channel, 50, 41, Buffer.alloc(4))
    else if (classId === 60 && methodId === 10) {
      state.prefetch = buffer.readUInt16BE(at + 4)
      this.method(channel, 60, 11, empty)
    } else if (classId === 60 && methodId === 20) this.#consume(channel, state, buffer, at)
    else if (classId === 85) this.method(channel, 85, 11, empty)
  }

  #settle(state, tag) {
    const consumer = state.outstanding.get(tag)
    state.outstanding.delete(tag)
    if (consumer !== undefined) consumer.unacked -= 1
  }

  #declare(channel, name) {
    if (!queues.has(name)) queues.set(name, new Queue())
    const queue = queues.get(name)
    const reply = Buffer.alloc(1 + name.length + 8)
    reply[0] = name.length
    reply.write(name, 1)
    reply.writeUInt32BE(queue.consumers.length, 1 + name.length + 4)
    this.method(channel, 50, 11, reply)
  }

  #consume(channel, state, buffer, at) {
    const name = this.#text(buffer, at + 2)
    const tag = `tag${channel}`
    const reply = Buffer.from(`\0${tag}`)
    reply[0] = tag.length
    this.method(channel, 60, 21, reply)
    queues.get(name).consumers.push({ connection: this, channel, state, tag: reply, unacked: 0 })
  }

  #text(buffer, at) {
    const key = buffer.latin1Slice(at + 1, at + 1 + buffer[at])
    return this.#strings.get(key) ?? (this.#strings.set(key, key), key)
  }

  confirm(channel, tag) {
    const payload = Buffer.alloc(9)
    payload.writeBigUInt64BE(BigInt(tag), 0)
    payload[8] = 1
    this.method(channel, 60, 80, payload)
    this.flush()
  }

  deliver(consumer, { header, body }) {
    const { channel, state, tag } = consumer
    const deliveryTag = ++state.delivered
    state.outstanding.set(deliveryTag, consumer)
    const rest = Buffer.allocUnsafe(11 + queueKey.length)
    rest.writeUInt32BE(0, 0)
    rest.writeUInt32BE(deliveryTag, 4)
    rest[8] = 0
    rest[9] = 0
    queueKey.copy(rest, 10)
    this.#reserve(tag.length + rest.length + 32 + header.length + body.length + 16)
    this.#frameHead(1, channel, 4 + tag.length + 10 + queueKey.length)
    this.#out.writeUInt32BE(deliverId, this.#length)
    this.#length += 4
    this.#copy(tag)
    this.#length += rest.copy(this.#out, this.#length, 0, 10 + queueKey.length)
    this.#out[this.#length++] = 0xce
    this.#frameHead(2, channel, header.length)
    this.#copy(header)
    this.#out[this.#length++] = 0xce
    this.#frameHead(3, channel, body.length)
    this.#copy(body)
    this.#out[this.#length++] = 0xce
  }

  method(channel, classId, methodId, payload) {
    this.#reserve(payload.length + 12)
    this.#frameHead(1, channel, payload.length + 4)
    this.#out.writeUInt16BE(classId, this.#length)
    this.#out.writeUInt16BE(methodId, this.#length + 2)
    this.#length += 4
    this.#copy(payload)
    this.#out[this.#length++] = 0xce
  }

  flush() {
    if (this.#length === 0) return
    this.#socket.write(this.#out.subarray(0, this.#length))
    this.#out = Buffer.allocUnsafe(1 << 18)
    this.#length = 0
  }

  #frameHead(type, channel, size) {
    const out = this.#out
    out[this.#length] = type
    out.writeUInt16BE(channel, this.#length + 1)
    out.writeUInt32BE(size, this.#length + 3)
    this.#length += 7
  }

  #copy(bytes) {
    bytes.copy(this.#out, this.#length)
    this.#length += bytes.length
  }

  #reserve(bytes) {
    if (this.#length + bytes <= this.#out.length) return
    this.flush()
    if (bytes > this.#out.length) this.#out = Buffer.allocUnsafe(bytes)
  }
}

class Queue {
  messages = []
  consumers = []
  #head = 0

  deliver() {
    const { messages, consumers } = this
    for (const consumer of consumers) {
      const { connection, state } = consumer
      while (this.#head < messages.length && (state.prefetch === 0 || consumer.unacked < state.prefetch)) {
        consumer.unacked += 1
        connection.deliver(consumer, messages[this.#head++])
      }
    }
    if (this.#head > 10_000 && this.#head * 2 > messages.length) {
      this.messages = messages.slice(this.#head)
      this.#head = 0
    }
  }

  leave(connection) {
    this.consumers = this.consumers.filter((consumer) => consumer.connection !== connection)
  }
}

const publish = (60 << 16) | 40
const ack = (60 << 16) | 80
const deliverId = (60 << 16) | 60
const empty = Buffer.alloc(0)
const queueKey = Buffer.from('\x05bench')
const tunePayload = Buffer.from([0x07, 0xff, 0, 2, 0, 0, 0, 0])
const startPayload = Buffer.concat([
  Buffer.from([0, 9, 0, 0, 0, 0, 0, 0, 0, 5]),
  Buffer.from('PLAIN'),
  Buffer.from([0, 0, 0, 5]),
  Buffer.from('en_US'),
])
const connections = new Set()
const flushAll = () => {
  for (const connection of connections) connection.flush()
}
createServer((socket) => connections.add(new Connection(socket))).listen(Number(port), '127.0.0.1')
