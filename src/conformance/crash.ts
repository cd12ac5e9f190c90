/** Lines 84 to 87, 91, 93 and 97: the engine or its consumer dies, again and again. */
import assert from 'node:assert/strict'
import type { Delivery, Driver } from '../client/driver.ts'
import { assertFigures } from './figures.ts'
import { at, declareQueue, fill, Inbox, numbered, publishOne, range, text, to } from './inbox.ts'
import type { Line } from './line.ts'
import type { Trial } from './trial.ts'

export const crashLines: readonly Line[] = [
  { number: 84, title: 'killed while publishing: nothing confirmed is lost', run: killedPublishing },
  { number: 85, title: 'killed while consuming: all is acknowledged in the end', run: killedConsuming },
  { number: 86, title: 'a consumer killed between receipt and settle: redelivered', run: consumerKilled },
  {
    number: 87,
    title: 'killed in the middle of a retry: a duplicate, never a loss',
    run: killedRetrying,
  },
  { number: 91, title: 'five restarts under load', run: fiveRestarts },
  { number: 93, title: 'poison that crashes the process is bounded by attempts', run: poison },
  { number: 97, title: 'a torn last write recovers', run: tornWrite },
]

/** A driver onto an engine that can be killed and comes back with what it confirmed. */
async function connectMortal(trial: Trial): Promise<Driver> {
  const driver = await trial.connect()
  trial.needsDurability(driver)
  trial.needs('crash', 'the harness cannot kill the engine')
  return driver
}

/** Publishes texts one by one, all at once; the promise of each ends quietly whatever happens. */
function publishAll(driver: Driver, texts: readonly string[], confirmed: Set<string>): Promise<void>[] {
  return texts.map(async (body) => {
    try {
      if ((await publishOne(driver, to('q', body))).type === 'stored') confirmed.add(body)
    } catch {
      // Not confirmed: it may be there or not.
    }
  })
}

/** Consumes and acknowledges; what was acknowledged for sure must not come again. */
async function acknowledge(driver: Driver, acked: Set<string>, repeated: string[]): Promise<void> {
  const handle = async (delivery: Delivery): Promise<void> => {
    const body = text(delivery.message)
    if (acked.has(body)) repeated.push(body)
    try {
      if (await delivery.settle({ type: 'ack' })) acked.add(body)
    } catch {
      // The engine died first: it comes again.
    }
  }
  await driver.consume('q', { prefetch: 10 }, (delivery) => void handle(delivery))
}

async function killedPublishing(trial: Trial): Promise<void> {
  let driver = await connectMortal(trial)
  await declareQueue(driver, 'q')
  const confirmed = new Set<string>()
  for (const round of range(3)) {
    const target = confirmed.size + 20
    for (const part of range(10)) void publishAll(driver, numbered(20, `${round}.${part}.`), confirmed)
    await trial.eventually('some are confirmed', () => confirmed.size >= target)
    void publishAll(driver, numbered(20, `${round}.last.`), confirmed)
    await trial.crash()
    driver = await trial.connect()
  }
  const inbox = await Inbox.open(trial, driver, 'q', { prefetch: 65_535 })
  await trial.eventually('all that was confirmed is there', () => {
    const there = new Set(inbox.texts)
    return [...confirmed].every((body) => there.has(body))
  })
  assert.equal(new Set(inbox.texts).size, inbox.texts.length, 'and nothing twice')
}

async function killedConsuming(trial: Trial): Promise<void> {
  let driver = await connectMortal(trial)
  await declareQueue(driver, 'q')
  const bodies = numbered(300)
  await fill(driver, 'q', ...bodies)
  const acked = new Set<string>()
  const repeated: string[] = []
  for (const round of range(3)) {
    await acknowledge(driver, acked, repeated)
    await trial.eventually('some are acknowledged', () => acked.size >= (round + 1) * 50)
    await trial.crash()
    driver = await trial.connect()
  }
  await acknowledge(driver, acked, repeated)
  await trial.eventually('all are acknowledged', () => acked.size === bodies.length)
  if (trial.capabilities(driver).atomicSettle) {
    assert.deepEqual(repeated, [], 'an acknowledgement that resolved is for good')
  } else
    trial.note(
      'an acknowledgement just before the crash may be forgotten (capabilities.atomicSettle is false)',
    )
  assertFigures(await driver.stats('q'), { ready: 0, unacked: 0, delayed: 0 })
}

async function consumerKilled(trial: Trial): Promise<void> {
  const driver = await trial.connect()
  const doomed = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'a', 'b')
  await (await Inbox.open(trial, doomed, 'q')).take(2)
  await trial.kill(doomed)
  const inbox = await Inbox.open(trial, driver, 'q')
  assert.deepEqual(
    (await inbox.take(2)).map((delivery) => text(delivery.message)),
    ['a', 'b'],
  )
  if (!trial.capabilities(driver).durable || trial.harness.crash === undefined) {
    return trial.note("the consumer's connection was closed under it")
  }
  await trial.crash()
  const survivor = await Inbox.open(trial, await trial.connect(), 'q')
  for (const body of ['a', 'b']) {
    const delivery = await survivor.ack(body)
    assert.ok(delivery.attempt >= 2, 'the process that died with it counts as an attempt')
  }
}

async function killedRetrying(trial: Trial): Promise<void> {
  let driver = await connectMortal(trial)
  await declareQueue(driver, 'q')
  const bodies = numbered(40)
  await fill(driver, 'q', ...bodies)
  for (const waitTurns of [0, 1, 3]) {
    const inbox = await Inbox.open(trial, driver, 'q')
    const deliveries = await inbox.take(bodies.length)
    for (const [index, delivery] of deliveries.entries()) {
      const settling = delivery.settle({ type: 'retry', delayMs: index % 3 === 0 ? 20 : 0 })
      settling.catch(() => undefined)
    }
    for (const _ of range(waitTurns)) await new Promise((resolve) => setImmediate(resolve))
    await trial.crash()
    driver = await trial.connect()
    await trial.eventually('each is there at least once', async () => {
      const stats = await driver.stats('q')
      return (stats.delayed ?? 0) === 0 && stats.ready >= bodies.length
    })
  }
  const inbox = await Inbox.open(trial, driver, 'q')
  await trial.eventually('none is lost', () => new Set(inbox.texts).size === bodies.length)
  if (!trial.capabilities(driver).atomicSettle)
    trial.note('there may be duplicates (capabilities.atomicSettle is false)')
  for (const delivery of inbox.deliveries) {
    assert.ok(delivery.attempt >= 2)
    assert.equal(await delivery.settle({ type: 'ack' }), true)
  }
}

async function fiveRestarts(trial: Trial): Promise<void> {
  let driver = await trial.connect()
  trial.needsDurability(driver)
  await declareQueue(driver, 'q')
  const confirmed = new Set<string>()
  const acked = new Set<string>()
  const repeated: string[] = []
  for (const round of range(5)) {
    await acknowledge(driver, acked, repeated)
    const publishing = publishAll(driver, numbered(200, `${round}.`), confirmed)
    await trial.eventually('some are acknowledged', () => acked.size > round * 20)
    await trial.restart()
    await Promise.all(publishing)
    driver = await trial.connect()
  }
  await acknowledge(driver, acked, repeated)
  await trial.eventually('all that was confirmed is acknowledged', () =>
    [...confirmed].every((body) => acked.has(body)),
  )
  assert.deepEqual(repeated, [], 'an acknowledgement that resolved is for good')
  assert.ok(confirmed.size > 0)
}

async function poison(trial: Trial): Promise<void> {
  await connectMortal(trial)
  const attempts = 3
  let runs = 0
  for (let lives = 0; lives < attempts + 1; lives++) {
    const client = await trial.client()
    const queue = client.queue<string>('q')
    if (lives === 0) await queue.send('poison')
    let release: () => void = () => undefined
    const dying = new Promise<void>((resolve) => (release = resolve))
    let dead = 0
    const runsBefore = runs
    const worker = queue.work(
      async () => {
        runs += 1
        await dying
      },
      { attempts },
    )
    worker.on('error', () => undefined)
    worker.on('dead', () => (dead += 1))
    await trial.eventually('it runs or is given up', () => runs > runsBefore || dead > 0)
    if (dead > 0) break
    await trial.dieWith(client)
    release()
    await trial.abandonAll()
  }
  assert.equal(runs, attempts)
  const stats = await (await trial.client()).queue<string>('q').stats()
  assertFigures(stats, { ready: 0, unacked: 0, delayed: 0, dead: 1 })
}

async function tornWrite(trial: Trial): Promise<void> {
  trial.needs('tearLastWrite', 'the harness cannot tear a write: the engine has no disk it may harm')
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const confirmed = new Set<string>()
  await Promise.all(publishAll(driver, numbered(50), confirmed))
  assert.equal(confirmed.size, 50)
  void publishAll(driver, numbered(10, 'unsure '), confirmed)
  await trial.harness.tearLastWrite?.()
  await trial.abandonAll()
  const again = await trial.connect()
  const inbox = await Inbox.open(trial, again, 'q')
  await trial.eventually('all that was confirmed is there', () => {
    const there = new Set(inbox.texts)
    return [...confirmed].every((body) => there.has(body))
  })
  for (const body of inbox.texts) assert.match(body, /^(m|unsure )\d+$/, 'and whole')
  assert.equal(new Set(inbox.texts).size, inbox.texts.length)
  for (const delivery of inbox.deliveries) assert.equal(await delivery.settle({ type: 'ack' }), true)
  await fill(again, 'q', 'life goes on')
  await trial.restart()
  const last = await Inbox.open(trial, await trial.connect(), 'q')
  assert.equal(text(at(await last.take(1), 0).message), 'life goes on')
}
