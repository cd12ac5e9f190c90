/** Lines 88 to 90, 95, 96, 98 and 99: networks, clocks and other servers. An engine in the process has few of them. */
import assert from 'node:assert/strict'
import { declareQueue, fill, Inbox, numbered, publishOne, store, text, to, via } from './inbox.ts'
import type { Line } from './line.ts'
import { within } from './trial.ts'
import type { Trial } from './trial.ts'

export const networkLines: readonly Line[] = [
  { number: 88, title: 'a half-open socket is noticed within the heartbeat', run: halfOpen },
  { number: 89, title: 'a partition heals: topology and consumers are restored', run: partition },
  { number: 90, title: 'the server loses its topology: replayed, event raised', run: topologyLost },
  { number: 95, title: "the client's clock an hour off changes nothing", run: skewedClient },
  { number: 96, title: "the server's clock steps back: no stuck lease", run: clockStepsBack },
  { number: 98, title: 'fail-over loses nothing above the chosen confirm level', run: failOver },
  { number: 99, title: 'revoked credentials: typed, no spin', run: revoked },
]

const noHook = 'the harness cannot do that to the network'
const hourMs = 3_600_000

async function halfOpen(trial: Trial): Promise<void> {
  const network = trial.needsNetwork('freeze', noHook)
  const { heartbeatMs = 0 } = trial.needsNetwork('heartbeatMs', 'the harness names no heartbeat')
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'held')
  const held = await (await Inbox.open(trial, driver, 'q')).next()
  let down = 0
  driver.events.on('down', () => (down += 1))
  await network.freeze?.(driver)
  await trial.sleep(heartbeatMs * 2)
  await trial.eventually('the driver notices', () => down > 0 && held.lost.aborted)
  await network.heal?.(driver)
}

async function partition(trial: Trial): Promise<void> {
  trial.needsNetwork('heal', noHook)
  const network = trial.needsNetwork('cut', noHook)
  const driver = await trial.connect()
  await driver.declare({
    exchanges: [{ name: 'x', kind: 'topic' }],
    queues: [{ name: 'q' }],
    bindings: [{ source: 'x', destination: 'q', routingKey: '#' }],
  })
  const inbox = await Inbox.open(trial, driver, 'q')
  const seen = { up: 0, down: 0 }
  driver.events.on('up', () => (seen.up += 1))
  driver.events.on('down', () => (seen.down += 1))
  await network.cut?.(driver)
  await trial.eventually('it is down', () => seen.down > 0)
  await network.heal?.(driver)
  await trial.eventually('it is up again', () => seen.up > 0)
  await store(driver, via('x', 'after', 'restored'))
  await inbox.ack('restored')
}

async function topologyLost(trial: Trial): Promise<void> {
  const network = trial.needsNetwork('loseTopology', 'the harness cannot make the server forget')
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const inbox = await Inbox.open(trial, driver, 'q')
  let lost = 0
  driver.events.on('topologyLost', () => (lost += 1))
  await network.loseTopology?.()
  await trial.eventually('the event is raised', () => lost > 0)
  await trial.eventually('the queue is back', async () => {
    const result = await publishOne(driver, to('q', 'replayed', { mandatory: true })).catch(() => undefined)
    return result?.type === 'stored'
  })
  await inbox.ack('replayed')
}

async function skewedClient(trial: Trial): Promise<void> {
  const network = trial.needsNetwork('connectSkewed', 'the harness cannot set the client’s clock')
  for (const skewMs of [-hourMs, hourMs]) {
    const skewed = await network.connectSkewed?.(skewMs)
    assert.ok(skewed)
    await skewed.open()
    const queue = await declareQueue(skewed, `skewed ${skewMs}`)
    const inbox = await Inbox.open(trial, skewed, queue)
    const startMs = trial.now()
    await store(skewed, to(queue, 'delayed', { delayMs: 100 }), to(queue, 'now', { ttlMs: 60_000 }))
    // A machine that stood still between the two may have both due at once.
    const both = await inbox.take(2)
    assert.ok(trial.now() - startMs >= 99, 'not early')
    assert.deepEqual(both.map(({ message }) => text(message)).sort(), ['delayed', 'now'])
    for (const delivery of both) assert.equal(await delivery.settle({ type: 'ack' }), true)
    await inbox.quiet()
    await skewed.close()
  }
}

async function clockStepsBack(trial: Trial): Promise<void> {
  trial.needs('stepClock', "the harness cannot set the engine's clock")
  const { driver, capabilities } = await trial.open()
  const doomed = await trial.connect()
  await declareQueue(driver, 'q')
  await fill(driver, 'q', 'held', 'next')
  await (await Inbox.open(trial, doomed, 'q', { prefetch: 1 })).next()
  const startMs = trial.now()
  await store(driver, to('q', 'delayed before', { delayMs: 200 }))
  await trial.harness.stepClock?.(-hourMs)
  await trial.kill(doomed)
  await trial.sleep(capabilities.leaseMs * 2)
  const inbox = await Inbox.open(trial, driver, 'q')
  await inbox.ack('held')
  await inbox.ack('next')
  await inbox.ack('delayed before')
  assert.ok(trial.now() - startMs >= 199)
  await store(driver, to('q', 'delayed after', { delayMs: 50 }))
  await inbox.ack('delayed after')
}

async function failOver(trial: Trial): Promise<void> {
  const network = trial.needsNetwork('failOver', 'the harness has no second server to take over')
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  const bodies = numbered(100)
  await fill(driver, 'q', ...bodies)
  await network.failOver?.()
  const received = new Set<string>()
  await trial.eventually('consuming again', async () => {
    const consuming = driver.consume('q', { prefetch: 10 }, (delivery) => {
      received.add(text(delivery.message))
      delivery.settle({ type: 'ack' }).catch(() => undefined)
    })
    return consuming.then(
      () => true,
      () => false,
    )
  })
  await trial.eventually('nothing confirmed is lost', () => bodies.every((body) => received.has(body)))
}

async function revoked(trial: Trial): Promise<void> {
  const network = trial.needsNetwork('revoke', 'the harness cannot revoke credentials')
  const driver = await trial.connect()
  await declareQueue(driver, 'q')
  let tries = 0
  driver.events.on('down', () => (tries += 1))
  await network.revoke?.(driver)
  const refused = (): Promise<unknown> =>
    publishOne(driver, to('q', 'refused')).then(
      (result) => (result.type === 'rejected' ? result.error : undefined),
      (error: unknown) => error,
    )
  let error: unknown
  // The server may take what comes before it has closed the connection.
  await trial.eventually('the refusal is told', async () => {
    error = await within(trial.patienceMs, 'the publish did not end', refused())
    return error !== undefined
  })
  assert.ok(error instanceof Error && 'code' in error, 'a typed error')
  const before = tries
  const fromMs = trial.now()
  await trial.sleep(1_000)
  const seconds = Math.ceil((trial.now() - fromMs) / 1_000)
  assert.ok(tries - before <= 5 * seconds, `no spin: ${tries - before} tries in ${seconds} s`)
}
