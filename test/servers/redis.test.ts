/** The Redis of the tests: starts, stops, dies and comes back, beside others, and leaves nothing. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { RedisCluster } from './redis-cluster.ts'
import { findRedis, RedisServer } from './redis.ts'

const { skip } = await findRedis()

test('what was written survives a stop and, synced always, a kill', { skip }, async () => {
  await using one = await RedisServer.start({ sync: 'always' })
  await using other = await RedisServer.start()
  assert.notEqual(one.port, other.port)
  await one.command('SET', 'key', 'value')
  assert.equal(await other.command('GET', 'key'), null)
  await one.kill()
  await one.boot()
  assert.equal(await one.command('GET', 'key'), 'value')
  await one.restart()
  assert.equal(await one.command('GET', 'key'), 'value')
  await other.restart()
  assert.equal(await one.info('aof_enabled'), '1')
  assert.equal(await other.info('aof_enabled'), '0')
})

test('nothing is left of one that is closed, whatever its state', { skip }, async () => {
  const server = await RedisServer.start()
  server.freeze()
  await server.close()
  assert.equal(existsSync(server.folder), false)
  await assert.rejects(server.command('PING'))
})

test('three nodes form a cluster, which shares the keys', { skip }, async () => {
  await using cluster = await RedisCluster.start()
  const [first] = cluster.servers
  const sets = ['a', 'b', 'c', 'd', 'e', 'f'].map((key) =>
    (first as RedisServer).command('SET', key, '1').then(
      () => 'here',
      (error: Error) => error.message.split(' ')[0],
    ),
  )
  assert.deepEqual(new Set(await Promise.all(sets)), new Set(['here', 'MOVED']))
})
