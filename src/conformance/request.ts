/** Lines 69 to 76: request and reply, publish and subscribe, as users hold them. */
import assert from 'node:assert/strict'
import type { Client } from '../client/client.ts'
import { Deferred } from '../std/deferred.ts'
import { at, quietMs, range } from './inbox.ts'
import type { Chapter } from './line.ts'
import { assertCode, rejection } from './trial.ts'
import type { Trial } from './trial.ts'

export const request: Chapter = {
  heading: 'Request/reply, publish/subscribe',
  lines: [
    { number: 69, title: 'replies correlate', run: repliesCorrelate },
    { number: 70, title: 'a timeout is typed', run: timeoutTyped },
    { number: 71, title: 'a late reply is ignored', run: lateReply },
    { number: 72, title: 'a remote error is typed', run: remoteError },
    { number: 73, title: "a requester's restart leaves no garbage", run: noGarbage },
    { number: 74, title: 'a durable subscriber that was away catches up', run: durableCatchesUp },
    { number: 75, title: 'an ephemeral one does not', run: ephemeralDoesNot },
    { number: 76, title: 'replay from an offset', run: replay },
  ],
}

async function repliesCorrelate(trial: Trial): Promise<void> {
  const replier = await trial.client()
  const worker = replier.reply<number>(
    'square',
    async (job) => {
      await trial.sleep((job.data * 7) % 11)
      return job.data * job.data
    },
    { concurrency: 16 },
  )
  await worker.ready
  const askers = [await trial.client(), await trial.client()]
  const answers = await Promise.all(
    askers.flatMap((asker) => range(50).map((n) => asker.request<number>('square', n, { timeout: '1m' }))),
  )
  const squares = range(50).map((n) => n * n)
  assert.deepEqual(answers, [...squares, ...squares])
}

async function timeoutTyped(trial: Trial): Promise<void> {
  const client = await trial.client()
  assertCode(await rejection(client.request('nobody', 'home?', { timeout: 60 })), 'TIMEOUT')
  const signal = AbortSignal.timeout(40)
  assertCode(await rejection(client.request('nobody', 'home?', { timeout: '1m', signal })), 'ABORTED')
  const waiting = rejection(client.request('nobody', 'home?', { timeout: '1m' }))
  await trial.sleep(20)
  await client.close()
  assertCode(await waiting, 'CLOSED')
}

async function lateReply(trial: Trial): Promise<void> {
  const replier = await trial.client()
  const late = new Deferred<void>()
  let asked = 0
  let answered = 0
  const worker = replier.reply<string>('slow', async (job) => {
    if (job.data === 'late') {
      asked += 1
      await late.promise
      answered += 1
    }
    return `answer to ${job.data}`
  })
  await worker.ready
  const asker = await trial.client()
  // What the first request declares must not use up the second one's patience.
  assert.equal(await asker.request('slow', 'first', { timeout: '1m' }), 'answer to first')
  // One that nobody took within its time is dropped, and asked again, with more patience.
  for (let timeout = 200; asked === 0; timeout *= 2)
    assertCode(await rejection(asker.request('slow', 'late', { timeout })), 'TIMEOUT')
  late.resolve()
  assert.equal(await asker.request('slow', 'prompt', { timeout: '1m' }), 'answer to prompt')
  await trial.sleep(quietMs)
  assert.equal(answered, asked)
  assert.equal(await asker.request('slow', 'again', { timeout: '1m' }), 'answer to again')
}

async function remoteError(trial: Trial): Promise<void> {
  const client = await trial.client()
  let asked = 0
  const worker = client.reply<number>('fails', (job) => {
    asked += 1
    if (job.data < 0) throw new RangeError('no root of a negative number')
    return Math.sqrt(job.data)
  })
  await worker.ready
  const error = await rejection(client.request('fails', -1, { timeout: '1m' }))
  assertCode(error, 'REMOTE_ERROR')
  assert.match(error.message, /no root of a negative number/)
  assert.equal(await client.request('fails', 9, { timeout: '1m' }), 3)
  assert.equal(asked, 2, 'an error is an answer: it is not asked again')
}

/** What is answered only when who asked is gone. */
const afterItsEnd = 60

async function noGarbage(trial: Trial): Promise<void> {
  const replier = await trial.client()
  let gone = new Deferred<void>()
  let asked = 0
  const worker = replier.reply<number>('echo', async (job) => {
    if (job.data !== afterItsEnd) return job.data
    asked += 1
    await gone.promise
    return job.data
  })
  const failures: Error[] = []
  worker.on('error', (error) => failures.push(error))
  await worker.ready
  const before = await trial.queueNames(replier)
  for (const round of range(3)) {
    const asker = await trial.client()
    assert.equal(await asker.request('echo', 0, { timeout: '1m' }), 0)
    const unanswered = rejection(asker.request('echo', afterItsEnd, { timeout: '1m' }))
    await trial.eventually('it is asked', () => asked > round)
    await asker.close()
    assertCode(await unanswered, 'CLOSED')
    gone.resolve()
    gone = new Deferred<void>()
  }
  await trial.eventually('its reply queues are gone', async () => {
    const now = await trial.queueNames(replier)
    return now.length === before.length && now.every((name) => before.includes(name))
  })
  const asker = await trial.client()
  assert.equal(await asker.request('echo', 1, { timeout: '1m' }), 1, 'replies to nobody disturb nobody')
  assert.deepEqual(failures, [])
}

/** Subscribes and keeps what comes. */
async function subscribe(client: Client, pattern: string, group?: string): Promise<string[]> {
  const received: string[] = []
  const orders = client.exchange<string>('orders', 'topic')
  const options = group === undefined ? {} : { group }
  const subscription = orders.subscribe(pattern, (job) => received.push(job.data), options)
  await subscription.ready
  return received
}

async function durableCatchesUp(trial: Trial): Promise<void> {
  const publisher = (await trial.client()).exchange<string>('orders', 'topic')
  const first = await trial.client()
  const attended = await subscribe(first, 'order.#', 'billing')
  const others = await subscribe(await trial.client(), 'order.#', 'shipping')
  await publisher.publish('order.created', '1')
  await trial.eventually('the first comes', () => attended.length === 1)
  await first.close()
  await publisher.publish('order.created', '2')
  await publisher.publish('order.paid.eu', '3')
  await publisher.publish('refund.created', 'not for this group')
  const members = [await trial.client(), await trial.client()]
  const caughtUp = [
    await subscribe(at(members, 0), 'order.#', 'billing'),
    await subscribe(at(members, 1), 'order.#', 'billing'),
  ]
  await publisher.publish('order.created', '4')
  await trial.eventually('the group catches up', () => caughtUp.flat().length >= 3)
  await trial.eventually('the other group has all', () => others.length >= 4)
  await trial.sleep(quietMs)
  assert.deepEqual(caughtUp.flat().sort(), ['2', '3', '4'], 'each once in the group')
  assert.deepEqual(attended, ['1'])
  assert.deepEqual(others, ['1', '2', '3', '4'], 'another group has its own copies')
}

async function ephemeralDoesNot(trial: Trial): Promise<void> {
  const watcher = await trial.client()
  const publisher = watcher.exchange<string>('orders', 'topic')
  const before = await trial.queueNames(watcher)
  const first = await trial.client()
  const second = await trial.client()
  const attended = await subscribe(first, 'order.*')
  const copies = await subscribe(second, '#')
  assert.equal((await publisher.publish('order.created', '1')).routed, true)
  await trial.eventually('each gets its own copy', () => attended.length === 1 && copies.length === 1)
  await first.close()
  await second.close()
  await trial.eventually(
    'nothing is left of them',
    async () => (await trial.queueNames(watcher)).length === before.length,
  )
  assert.equal((await publisher.publish('order.created', '2')).routed, false)
  const again = await subscribe(await trial.client(), 'order.*')
  await publisher.publish('order.created', '3')
  await trial.eventually('the third comes', () => again.length > 0)
  await trial.sleep(quietMs)
  assert.deepEqual(again, ['3'])
  assert.deepEqual(attended, ['1'])
}

/** The API offers no offsets yet; who asks for one all the same is refused, and an engine may not claim it. */
async function replay(trial: Trial): Promise<void> {
  const client = await trial.client()
  assert.equal(client.capabilities.replay.level, 'none', 'claimed, but there is no way to ask for it')
  const orders = client.exchange<string>('orders', 'topic')
  const asked = async (): Promise<unknown> =>
    orders.subscribe('#', () => undefined, { group: 'history', from: 0 } as object).ready
  const error = await rejection(asked())
  assertCode(error, 'UNSUPPORTED', 'INVALID_OPTION')
  trial.unsupported('replay')
}
