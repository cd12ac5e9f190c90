/**
 * Kills `millrace serve` over and over while amqplib publishes with confirms and acknowledges, then asks whether a promise
 * was broken: what was confirmed and never acknowledged must still come, and what a committed transaction acknowledged must
 * not come again.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import type { ChannelModel, ConfirmChannel, ConsumeMessage } from 'amqplib'
import { freePort } from '../servers/free-port.ts'
import { Random } from '../std/random.ts'

export interface BrokerKillReport {
  readonly rounds: number
  readonly confirmed: number
  readonly deliveries: number
  /** Acknowledged in a transaction whose commit was answered. */
  readonly committed: number
  readonly broken: readonly string[]
}

export interface BrokerKillOptions {
  readonly rounds: number
  readonly seed: number
  /** What starts the command line: arguments of `node`, up to and with the program's file. */
  readonly command: readonly string[]
  readonly onRound?: (round: number) => void
}

const plainQueues = ['work', 'copy.a', 'copy.b', 'quorum'] as const
/** Its consumer acknowledges in transactions. */
const committedQueue = 'committed'
const queues = [...plainQueues, committedQueue]
const readyPatienceMs = 100_000
const connectEveryMs = 10
const workPatienceMs = 60_000

/** What the clients were promised, over all rounds. An id is that of one copy: `queue/number`. */
interface Witness {
  next: number
  deliveries: number
  readonly confirmed: Set<string>
  /** An ack was sent: it may or may not have arrived. */
  readonly tried: Set<string>
  readonly committed: Set<string>
  readonly drained: Set<string>
  readonly broken: string[]
}

/** Keeps the folder, and says where, when a promise was broken. */
export async function killBrokerOverAndOver(options: BrokerKillOptions): Promise<BrokerKillReport> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-kill-broker-'))
  const port = await freePort()
  const random = new Random(options.seed)
  const witness: Witness = {
    next: 1,
    deliveries: 0,
    confirmed: new Set(),
    tried: new Set(),
    committed: new Set(),
    drained: new Set(),
    broken: [],
  }
  for (let round = 1; round <= options.rounds; round += 1) {
    const broker = await start(options.command, folder, port)
    const leastCommitted = witness.committed.size + 2
    const leastConfirmed = witness.confirmed.size + 11
    const isIdle = (): boolean =>
      witness.committed.size < leastCommitted || witness.confirmed.size < leastConfirmed
    const load = await runLoad(broker.connection, witness, random)
    await sleep(20 + random.below(230))
    // On a busy machine little happens in that time, and a round in which nothing was promised shows nothing.
    const deadline = Date.now() + workPatienceMs
    while (isIdle() && Date.now() < deadline) await sleep(5)
    broker.child.kill('SIGKILL')
    await broker.exited
    await load.ended
    options.onRound?.(round)
  }
  await drain(options.command, folder, port, witness)
  judge(witness)
  const { confirmed, committed, deliveries, broken } = witness
  if (broken.length === 0) rmSync(folder, { recursive: true, force: true })
  else broken.push(`kept: ${folder}`)
  return {
    rounds: options.rounds,
    confirmed: confirmed.size,
    committed: committed.size,
    deliveries,
    broken,
  }
}

interface Started {
  readonly child: ChildProcess
  readonly exited: Promise<unknown>
  readonly connection: ChannelModel
}

async function start(command: readonly string[], folder: string, port: number): Promise<Started> {
  const flags = ['serve', '--data', folder, '--port', String(port), '--log-level', 'error']
  const child = spawn(process.execPath, [...command, ...flags], { stdio: ['ignore', 'ignore', 'inherit'] })
  const exited = once(child, 'exit')
  const end = (): void => void child.kill('SIGKILL')
  process.once('exit', end)
  void exited.then(() => process.off('exit', end))
  const deadline = Date.now() + readyPatienceMs
  for (;;) {
    try {
      const connection = await connect(`amqp://guest:guest@127.0.0.1:${port}?heartbeat=0`, { noDelay: true })
      return { child, exited, connection }
    } catch (error) {
      if (child.exitCode !== null) {
        throw new Error(`the broker ended by itself with code ${child.exitCode}`, { cause: error })
      }
      if (Date.now() > deadline) throw error
      await sleep(connectEveryMs)
    }
  }
}

/** Declares, then publishes and consumes until the connection is gone. */
async function runLoad(
  connection: ChannelModel,
  witness: Witness,
  random: Random,
): Promise<{ ended: Promise<unknown> }> {
  connection.on('error', () => undefined)
  const ended = new Promise((resolve) => connection.once('close', resolve))
  const publisher = await connection.createConfirmChannel()
  publisher.on('error', () => undefined)
  await declareAll(publisher)
  for (const queue of plainQueues) await consumePlain(connection, queue, witness, random)
  await consumeCommitted(connection, witness)
  for (let lane = 0; lane < 50; lane += 1) publishOn(publisher, witness, random)
  return { ended }
}

async function declareAll(channel: ConfirmChannel): Promise<void> {
  await channel.assertExchange('events', 'fanout', { durable: true })
  for (const queue of queues) {
    const type = queue === 'quorum' ? { arguments: { 'x-queue-type': 'quorum' } } : {}
    await channel.assertQueue(queue, { durable: true, ...type })
  }
  await channel.bindQueue('copy.a', 'events', '')
  await channel.bindQueue('copy.b', 'events', '')
}

/** One lane: the next message as soon as this one is confirmed. */
function publishOn(channel: ConfirmChannel, witness: Witness, random: Random): void {
  const number = witness.next
  witness.next += 1
  const draw = random.next()
  const body = Buffer.alloc(random.below(10) === 0 ? 200_000 : random.below(2_000))
  const copies =
    draw < 0.2 ? ['copy.a', 'copy.b'] : [draw < 0.5 ? 'work' : draw < 0.7 ? 'quorum' : committedQueue]
  const [exchange, key] = copies.length > 1 ? ['events', ''] : ['', copies[0]!]
  try {
    channel.publish(exchange, key, body, { persistent: true, messageId: String(number) }, (error) => {
      // Not confirmed: the connection went, nothing was promised.
      if (error !== null) return
      for (const queue of copies) witness.confirmed.add(`${queue}/${number}`)
      publishOn(channel, witness, random)
    })
  } catch {
    // The channel is closed.
  }
}

async function consumePlain(
  connection: ChannelModel,
  queue: string,
  witness: Witness,
  random: Random,
): Promise<void> {
  const channel = await connection.createChannel()
  channel.on('error', () => undefined)
  await channel.prefetch(20)
  await channel.consume(queue, (message) => {
    if (message === null) return
    const id = received(queue, message, witness)
    try {
      if (random.next() < 0.05) return channel.nack(message, false, true)
      witness.tried.add(id)
      return channel.ack(message)
    } catch {
      // The channel is closed.
      return undefined
    }
  })
}

/** Ten at a time, in a transaction each. */
async function consumeCommitted(connection: ChannelModel, witness: Witness): Promise<void> {
  const channel = await connection.createChannel()
  channel.on('error', () => undefined)
  const transaction = channel as unknown as Transactional
  await transaction.rpc(txSelect, {}, txSelectOk)
  await channel.prefetch(100)
  const held: { id: string; message: ConsumeMessage }[] = []
  let committing = false
  const commit = async (): Promise<void> => {
    committing = true
    while (held.length > 0) {
      const part = held.splice(0, 10)
      for (const { id, message } of part) {
        witness.tried.add(id)
        channel.ack(message)
      }
      await transaction.rpc(txCommit, {}, txCommitOk)
      for (const { id } of part) witness.committed.add(id)
    }
    committing = false
  }
  await channel.consume(committedQueue, (message) => {
    if (message === null) return
    held.push({ id: received(committedQueue, message, witness), message })
    // What fails is the connection.
    if (!committing) commit().catch(() => undefined)
  })
}

/** amqplib has no transactions of its own; its channels can send any method. */
interface Transactional {
  rpc(method: number, fields: object, expected: number): Promise<unknown>
}

const txSelect = 0x5a_000a
const txSelectOk = 0x5a_000b
const txCommit = 0x5a_0014
const txCommitOk = 0x5a_0015

function received(queue: string, message: ConsumeMessage, witness: Witness): string {
  const id = `${queue}/${String(message.properties.messageId)}`
  witness.deliveries += 1
  if (witness.committed.has(id)) witness.broken.push(`${id} came again after its ack was committed`)
  return id
}

/** Takes everything that is left, without faults. */
async function drain(
  command: readonly string[],
  folder: string,
  port: number,
  witness: Witness,
): Promise<void> {
  const { child, exited, connection } = await start(command, folder, port)
  const channel = await connection.createChannel()
  for (const queue of queues) {
    const { messageCount } = await channel.checkQueue(queue)
    let left = messageCount
    const { consumerTag } = await channel.consume(queue, (message) => {
      if (message === null) return
      witness.drained.add(received(queue, message, witness))
      channel.ack(message)
      left -= 1
    })
    while (left > 0) await sleep(5)
    await channel.cancel(consumerTag)
  }
  await connection.close()
  child.kill('SIGTERM')
  const [code] = (await exited) as [number | null]
  if (code !== 0) witness.broken.push(`after SIGTERM the broker ended with ${code}`)
}

function judge(witness: Witness): void {
  for (const id of witness.confirmed) {
    if (witness.tried.has(id) || witness.drained.has(id)) continue
    witness.broken.push(`${id} was confirmed, never acknowledged, and is gone`)
  }
}
