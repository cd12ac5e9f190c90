/** A cluster whose slots move and whose nodes die: queues go on, and nothing that was confirmed is lost. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { slotOf } from '../../../src/drivers/redis/slots.ts'
import { nodeId, RedisCluster } from '../../servers/redis-cluster.ts'
import { findRedis } from '../../servers/redis.ts'
import type { RedisServer } from '../../servers/redis.ts'
import { Clients, codeOf, documentedRights, keepSending, keepWorking, listen, until } from './world.ts'

const { skip } = await findRedis()
const settings = '?cluster=yes'
/** Where none of them dies: a machine that stands still takes no node for dead. */
const steady = { settings: { 'cluster-node-timeout': '15000' } }
/** Of the usual lease: who is not told that there is something comes then all the same. */
const renewalMs = 10_000

/** Names of queues that live on each of the three masters. */
function oneOfEach(): readonly string[] {
  const names: string[] = []
  for (let number = 0; names.filter(Boolean).length < 3; number += 1) {
    const third = Math.floor((slotOf(`mq:{q${number}}`) * 3) / 16_384)
    names[third] ??= `q${number}`
  }
  return names
}

test(
  'queues on different nodes: one exchange reaches them all, and waiting workers are woken',
  { skip },
  async () => {
    await using cluster = await RedisCluster.start(steady)
    await using clients = new Clients()
    const sender = await clients.connect(`${cluster.url()}${settings}`)
    const receiver = await clients.connect(`${cluster.servers[2]?.url()}${settings}`)
    const events = sender.exchange<number>('events', 'fanout')
    const seen = new Set<string>()
    for (const name of oneOfEach()) {
      await receiver.queue(name).bind(receiver.exchange('events', 'fanout'), '')
      await receiver.queue<number>(name).work((job) => void seen.add(`${name} ${job.data}`)).ready
    }
    // By now each worker has asked once and waits to be told.
    await delay(300)
    for (const number of [1, 2, 3]) {
      const startMs = performance.now()
      await events.publish('', number)
      await until(`all three have ${number}`, () => seen.size === 3 * number)
      assert.ok(performance.now() - startMs < renewalMs / 2, 'sooner than the lease is renewed')
    }
    assert.equal(await codeOf(clients.connect(cluster.url())), 'PRECONDITION_FAILED')
    for (const server of cluster.servers) await server.command(...documentedRights(), '+cluster|slots')
    const app = await clients.connect(cluster.url().replace('//', '//app:secret@') + settings)
    await app.queue('theirs').send('x')
    assert.equal((await app.queue('theirs').stats()).ready, 1)
  },
)

test('a slot moves to another node under load: no message is lost, none comes twice', { skip }, async () => {
  await using cluster = await RedisCluster.start(steady)
  await using clients = new Clients()
  const mq = await clients.connect(`${cluster.url()}${settings}`)
  const [name = ''] = oneOfEach()
  const seen = await keepWorking(mq, name)
  const sending = keepSending(mq, name)
  const [from, to] = cluster.servers as readonly [RedisServer, RedisServer]
  for (const [source, target] of [
    [from, to],
    [to, from],
  ] as const) {
    const before = sending.stored.size
    await until('some are stored', () => sending.stored.size > before + 20)
    await moveSlot(cluster, { slot: slotOf(`mq:{${name}}`), source, target })
  }
  const before = sending.stored.size
  await until('more are stored', () => sending.stored.size > before + 20)
  await sending.stop()
  assert.deepEqual([...sending.codes], [])
  await until('all came', () => [...sending.stored].every((number) => seen.has(number)))
  assert.deepEqual([...new Set(seen.values())], [1])
})

test('a master is killed: its replica takes over, what was confirmed by it is there', { skip }, async () => {
  await using cluster = await RedisCluster.start({
    sync: 'always',
    replicas: 1,
    settings: { 'cluster-node-timeout': '2500' },
  })
  await using clients = new Clients()
  const mq = await clients.connect(`${cluster.url()}${settings}&wait=1&heartbeat=1000`)
  const heard = listen(mq)
  const names = oneOfEach()
  const sendings = names.map((name) => keepSending(mq, name))
  await until('some are stored', () => sendings.every(({ stored }) => stored.size > 20))
  const master = cluster.servers[1] as RedisServer
  const replica = cluster.servers[4] as RedisServer
  await master.kill()
  await until('the replica takes over', async () => (await replica.info('role')) === 'master')
  // It has no replica of its own, so that nothing is confirmed there, and those who send are told why they wait.
  await until('it says that it waits', () => heard.blocked > heard.unblocked)
  const before = sendings.map(({ stored }) => stored.size)
  await until('the others go on', () =>
    sendings.some(({ stored }, index) => stored.size > (before[index] ?? 0)),
  )
  await master.boot()
  await until('all go on', () =>
    sendings.every(({ stored }, index) => stored.size > (before[index] ?? 0) + 20),
  )
  for (const sending of sendings) await sending.stop()
  for (const [index, name] of names.entries()) {
    const seen = await keepWorking(mq, name)
    const { stored = new Set<number>(), codes } = sendings[index] ?? {}
    await until(`all of ${name} came`, () => [...stored].every((number) => seen.has(number)))
    assert.deepEqual([...(codes ?? [])], [])
  }
  assert.equal(heard.lost, 0)
  await until('it says that it goes on', () => heard.unblocked === heard.blocked)
})

/** As redis-cli does it: open on both sides, key by key, then told to all. */
async function moveSlot(
  cluster: RedisCluster,
  { slot, source, target }: { slot: number; source: RedisServer; target: RedisServer },
): Promise<void> {
  const [number, from, to] = [String(slot), await nodeId(source), await nodeId(target)]
  await target.command('CLUSTER', 'SETSLOT', number, 'IMPORTING', from)
  await source.command('CLUSTER', 'SETSLOT', number, 'MIGRATING', to)
  for (;;) {
    const keys = (await source.command('CLUSTER', 'GETKEYSINSLOT', number, '1')) as string[]
    if (keys.length === 0) break
    // One at a time, and slowly, so that calls come in between.
    await source.command('MIGRATE', '127.0.0.1', String(target.port), '', '0', '60000', 'KEYS', ...keys)
    await delay(20)
  }
  for (const server of [target, source]) await server.command('CLUSTER', 'SETSLOT', number, 'NODE', to)
  for (const server of cluster.servers) {
    if (server !== target && server !== source) await server.command('CLUSTER', 'SETSLOT', number, 'NODE', to)
  }
}
