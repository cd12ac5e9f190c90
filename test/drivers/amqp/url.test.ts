/** URLs of AMQP servers, as RabbitMQ writes them. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from '../../../src/index.ts'
import { loadAmqplib } from '../../../src/drivers/amqp/amqplib.ts'
import { parseAmqpUrl } from '../../../src/drivers/amqp/url.ts'

test('host, port, user, password and virtual host, with their defaults', () => {
  const parts = (url: string): unknown[] => {
    const { hostname, port, username, password, vhost, tls } = parseAmqpUrl(url)
    return [hostname, port, username, password, vhost, tls !== undefined]
  }
  const cases: readonly (readonly [string, readonly unknown[]])[] = [
    ['amqp://localhost', ['localhost', 5672, 'guest', 'guest', '/', false]],
    ['amqp://', ['localhost', 5672, 'guest', 'guest', '/', false]],
    ['AMQP://h/', ['h', 5672, 'guest', 'guest', '/', false]],
    ['amqps://h', ['h', 5671, 'guest', 'guest', '/', true]],
    ['amqp://u:p@h:1234/v', ['h', 1234, 'u', 'p', 'v', false]],
    ['amqp://a%40b:c%2Fd%25@h/%2F', ['h', 5672, 'a@b', 'c/d%', '/', false]],
    ['amqp://u@h/v%20w', ['h', 5672, 'u', '', 'v w', false]],
    ['amqp://[::1]:5673/%E9%82%AE', ['::1', 5673, 'guest', 'guest', '邮', false]],
  ]
  for (const [url, expected] of cases) assert.deepEqual(parts(url), expected, url)
})

test('settings of the query', () => {
  const settings = parseAmqpUrl(
    'amqp://h?queues=classic&heartbeat=5&connection_timeout=250&max_message_size=99&name=me',
  )
  assert.equal(settings.queues, 'classic')
  assert.equal(settings.heartbeatSeconds, 5)
  assert.equal(settings.connectTimeoutMs, 250)
  assert.equal(settings.maximumBodyBytes, 99)
  assert.equal(settings.connectionName, 'me')
  assert.equal(parseAmqpUrl('amqp://h').queues, 'quorum')
})

test('a namespace is a virtual host instead of that of the URL', () => {
  assert.equal(parseAmqpUrl('amqp://h/v', { namespace: 'other' }).vhost, 'other')
})

test('certificates are read from the files that are named', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-url-'))
  try {
    const file = join(folder, 'ca.pem')
    await writeFile(file, 'a certificate')
    const { tls } = parseAmqpUrl(`amqps://h?cacertfile=${file}&verify=verify_none&server_name_indication=s`)
    assert.deepEqual(tls, { ca: Buffer.from('a certificate'), rejectUnauthorized: false, servername: 's' })
    assert.throws(() => parseAmqpUrl(`amqps://h?keyfile=${folder}/none`), { code: 'INVALID_URL' })
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('what is wrong is INVALID_URL, and no password is shown', async () => {
  const wrong = [
    'amqp://h?queue=classic',
    'amqp://h?queues=fast',
    'amqp://h?heartbeat=often',
    'amqp://h?cacertfile=x',
    'amqp://h/a/b',
    'amqp://h/%',
    'amqp://h#x',
    'amqp://h:99999',
  ]
  for (const url of wrong) await assert.rejects(connect(url), { code: 'INVALID_URL' }, url)
  await assert.rejects(connect('amqp://user:secret@h/%'), (error: Error) => !error.message.includes('secret'))
})

test('a server that is not there is UNREACHABLE, at once', async () => {
  await assert.rejects(connect('amqp://127.0.0.1:1'), { code: 'UNREACHABLE' })
  const signal = AbortSignal.abort()
  await assert.rejects(connect('amqp://127.0.0.1:1', { signal }), { code: 'ABORTED' })
})

test('without amqplib the error says what to install', async () => {
  const missing = Object.assign(new Error("Cannot find package 'amqplib' imported from x"), {
    code: 'ERR_MODULE_NOT_FOUND',
  })
  await assert.rejects(
    loadAmqplib(() => Promise.reject(missing)),
    { code: 'MISSING_PACKAGE', message: /npm install amqplib/ },
  )
  const broken = new Error('broken')
  await assert.rejects(
    loadAmqplib(() => Promise.reject(broken)),
    broken,
  )
  assert.equal(typeof (await loadAmqplib()).connect, 'function')
})
