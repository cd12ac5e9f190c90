/** URLs of Redis servers, as redis-cli writes them, and of sentinels and clusters. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from '../../../src/index.ts'
import { loadNodeRedis } from '../../../src/drivers/redis/node-redis.ts'
import { slotOf } from '../../../src/drivers/redis/slots.ts'
import { parseRedisUrl } from '../../../src/drivers/redis/url.ts'

test('hosts, user, password and database, with their defaults', () => {
  const parts = (url: string): unknown[] => {
    const { addresses, username, password, database, tls } = parseRedisUrl(url)
    const hosts = addresses.map(({ host, port }) => `${host} ${port}`).join(' ')
    return [hosts, username, password, database, tls !== undefined]
  }
  const cases: readonly (readonly [string, readonly unknown[]])[] = [
    ['redis://localhost', ['localhost 6379', undefined, undefined, 0, false]],
    ['redis://', ['localhost 6379', undefined, undefined, 0, false]],
    ['redis://:1234', ['localhost 1234', undefined, undefined, 0, false]],
    ['REDIS://h/', ['h 6379', undefined, undefined, 0, false]],
    ['rediss://h', ['h 6379', undefined, undefined, 0, true]],
    ['redis://u:p@h:1234/5', ['h 1234', 'u', 'p', 5, false]],
    ['redis://:secret@h', ['h 6379', undefined, 'secret', 0, false]],
    ['redis://a%40b:c%2Fd%25@h', ['h 6379', 'a@b', 'c/d%', 0, false]],
    ['redis://[::1]:6380/1', ['::1 6380', undefined, undefined, 1, false]],
    ['redis://u:p@a,b:1,[::1]:2/3?cluster=no', ['a 6379 b 1 ::1 2', 'u', 'p', 3, false]],
  ]
  for (const [url, expected] of cases) assert.deepEqual(parts(url), expected, url)
})

test('sentinels, the name of the primary, and its database', () => {
  const url = 'redis+sentinel://u:p@a,b:1/my%20master/2?sentinel_username=s&sentinel_password=t'
  const { addresses, username, password, database, sentinel } = parseRedisUrl(url)
  assert.deepEqual(addresses, [
    { host: 'a', port: 26_379 },
    { host: 'b', port: 1 },
  ])
  assert.deepEqual([username, password, database], ['u', 'p', 2])
  assert.deepEqual(sentinel, { primary: 'my master', username: 's', password: 't' })
  assert.equal(parseRedisUrl('redis+sentinel://a/name').database, 0)
  assert.notEqual(parseRedisUrl('rediss+sentinel://a/name').tls, undefined)
  assert.equal(parseRedisUrl('redis://a').sentinel, undefined)
})

test('settings of the query', () => {
  const settings = parseRedisUrl(
    'redis://h?prefix=p&cluster=yes&wait=2&lease=200&heartbeat=300&connection_timeout=250&max_message_size=99&name=me',
  )
  assert.equal(settings.prefix, 'p')
  assert.equal(settings.cluster, true)
  assert.equal(settings.replicas, 2)
  assert.equal(settings.leaseMs, 200)
  assert.equal(settings.heartbeatMs, 300)
  assert.equal(settings.connectTimeoutMs, 250)
  assert.equal(settings.maximumBodyBytes, 99)
  assert.equal(settings.connectionName, 'me')
  assert.equal(parseRedisUrl('redis://h').replicas, 0)
})

test('a namespace is a part of the prefix', () => {
  assert.equal(parseRedisUrl('redis://h', { namespace: 'billing' }).prefix, 'mq:billing')
  assert.throws(() => parseRedisUrl('redis://h', { namespace: 'a{b' }), { code: 'INVALID_NAME' })
})

test('certificates are read from the files that are named', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-url-'))
  try {
    const file = join(folder, 'ca.pem')
    await writeFile(file, 'a certificate')
    const { tls } = parseRedisUrl(`rediss://h?cacertfile=${file}&verify=verify_none&server_name_indication=s`)
    assert.deepEqual(tls, { ca: Buffer.from('a certificate'), rejectUnauthorized: false, servername: 's' })
    assert.throws(() => parseRedisUrl(`rediss://h?keyfile=${folder}/none`), { code: 'INVALID_URL' })
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('what is wrong is INVALID_URL, and no password is shown', async () => {
  const wrong = [
    'redis:h',
    'redis://h?quorum=1',
    'redis://h?cluster=maybe',
    'redis://h?lease=1',
    'redis://h?wait=-1',
    'redis://h?cacertfile=x',
    'redis://h/name',
    'redis://h/1?cluster=yes',
    'redis://h/%',
    'redis://h#x',
    'redis://h:99999',
    'redis://a,b c',
    'redis+sentinel://h',
    'redis+sentinel://h/name/0/more',
    'redis+sentinel://h/name?cluster=yes',
  ]
  for (const url of wrong) await assert.rejects(connect(url), { code: 'INVALID_URL' }, url)
  const secrets = [
    'redis://user:secret@h/%',
    'redis://:secret@a,b:x/0',
    'redis+sentinel://u:secret@h/a/b/c?sentinel_password=secret',
  ]
  for (const url of secrets) {
    await assert.rejects(connect(url), (error: Error) => !error.message.includes('secret'), url)
  }
})

test('a key’s slot is the one that Redis says', () => {
  // CLUSTER KEYSLOT of each.
  const slots: Readonly<Record<string, number>> = {
    '': 0,
    '123456789': 12_739,
    foo: 12_182,
    'mq:{emails}': 3_728,
    'mq:{}x': 2_989,
    'mq:{邮件}:ready:0': 5_310,
  }
  for (const [key, slot] of Object.entries(slots)) assert.equal(slotOf(key), slot, key)
})

test('without node-redis the error says what to install', async () => {
  const missing = Object.assign(new Error("Cannot find package 'redis' imported from x"), {
    code: 'ERR_MODULE_NOT_FOUND',
  })
  await assert.rejects(
    loadNodeRedis(() => Promise.reject(missing)),
    { code: 'MISSING_PACKAGE', message: /npm install redis/ },
  )
  const broken = new Error('broken')
  await assert.rejects(
    loadNodeRedis(() => Promise.reject(broken)),
    broken,
  )
  assert.equal(typeof (await loadNodeRedis()).createClient, 'function')
})
