/** rediss://, with certificates of the test's own. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { connect } from '../../../src/index.ts'
import { freePort } from '../../servers/free-port.ts'
import { findRedis, RedisServer } from '../../servers/redis.ts'
import { codeOf } from './world.ts'

const { skip } = await findRedis()

describe('redis: TLS', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-redis-tls-'))
  const file = (name: string): string => join(folder, name)
  before(() => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    openssl('req', '-x509', ...key, '-keyout', file('ca.key'), '-out', file('ca.pem'), '-subj', '/CN=A test')
    writeFileSync(file('names'), 'subjectAltName=DNS:localhost')
    for (const who of ['server', 'client']) {
      openssl('req', ...key, '-keyout', file(`${who}.key`), '-out', file(`${who}.csr`), '-subj', `/CN=${who}`)
      const signed = [
        '-CA',
        file('ca.pem'),
        '-CAkey',
        file('ca.key'),
        '-CAcreateserial',
        '-extfile',
        file('names'),
      ]
      openssl('x509', '-req', '-in', file(`${who}.csr`), '-out', file(`${who}.pem`), ...signed)
    }
  })
  after(() => rmSync(folder, { recursive: true }))

  async function start(
    clients: 'yes' | 'no',
  ): Promise<{ server: RedisServer; url: (settings: string) => string }> {
    const port = await freePort()
    const server = await RedisServer.start({
      settings: {
        'tls-port': String(port),
        'tls-cert-file': file('server.pem'),
        'tls-key-file': file('server.key'),
        'tls-ca-cert-file': file('ca.pem'),
        'tls-auth-clients': clients,
      },
    })
    return { server, url: (settings) => `rediss://localhost:${port}?${settings}` }
  }

  const use = async (url: string): Promise<string> => {
    try {
      await using mq = await connect(url)
      await mq.queue('q').send('x'.repeat(100_000))
      return 'none'
    } catch (error) {
      return (error as { code: string }).code
    }
  }

  test('a certificate counts if its authority is named, or nobody looks', async () => {
    const { server, url } = await start('no')
    await using _ = server
    assert.equal(await use(url(`cacertfile=${file('ca.pem')}`)), 'none')
    assert.equal(await use(url('verify=verify_none')), 'none')
    await assert.rejects(connect(url('')), { code: 'UNREACHABLE', message: /certificate/ })
    const elsewhere = url(`cacertfile=${file('ca.pem')}`).replace('localhost', '127.0.0.1')
    await assert.rejects(connect(elsewhere), { code: 'UNREACHABLE', message: /altnames/ })
    assert.equal(await use(`${elsewhere}&server_name_indication=localhost`), 'none')
    assert.equal(await codeOf(connect(url('').replace('rediss', 'redis'))), 'UNREACHABLE')
  })

  test('a server that asks for a certificate lets in who has one', async () => {
    const { server, url } = await start('yes')
    await using _ = server
    const trust = `cacertfile=${file('ca.pem')}`
    assert.equal(await use(url(trust)), 'UNREACHABLE')
    assert.equal(
      await use(url(`${trust}&certfile=${file('client.pem')}&keyfile=${file('client.key')}`)),
      'none',
    )
  })
})

function openssl(...words: string[]): void {
  execFileSync('openssl', words, { stdio: 'pipe' })
}
