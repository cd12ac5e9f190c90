/** TLS with a certificate of one's own: each client trusts it when told so, and only then. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { connect } from '../../src/index.ts'
import { startTestBroker } from './broker.ts'
import type { TestBroker } from './broker.ts'
import { everyone, ring } from './peers/pairs.ts'

const folder = mkdtempSync(join(tmpdir(), 'millrace-interop-tls-'))
const certFile = join(folder, 'cert.pem')
const keyFile = join(folder, 'key.pem')

let broker: TestBroker
before(async () => {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile]
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', ...key, ...names, '-out', certFile], { stdio: 'pipe' })
  broker = await startTestBroker({ tls: { certFile, keyFile } })
})
after(async () => {
  await broker[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

describe('TLS: small and large go through', () => {
  for (const { name, sender, receiver, skip } of ring) {
    test(name, { skip }, async () => {
      await using from = await sender.connect(broker.url(), certFile)
      await using to = await receiver.connect(broker.url(), certFile)
      await to.declareQueue(name)
      const { deliveries } = await to.consume(name)
      for (const body of ['small', Buffer.alloc(1_000_000, 7)]) {
        await from.publish({ exchange: '', routingKey: name, body })
        assert((await deliveries.next()).body.equals(Buffer.from(body)))
      }
    })
  }
})

describe('TLS: a certificate that nobody vouches for is refused', () => {
  for (const { kind, skip } of everyone) {
    test(kind.name, { skip }, async () => {
      await assert.rejects(kind.connect(broker.url()), /self-signed certificate/)
    })
  }
})

test("amqps:// of Millrace's own driver: by the certificate's authority, or blindly where told so", async () => {
  for (const trust of [`cacertfile=${encodeURIComponent(certFile)}`, 'verify=verify_none']) {
    await using mq = await connect(`${broker.url()}?${trust}`)
    const queue = mq.queue<string>('by-driver')
    await queue.send('private')
    for await (const job of queue.consume()) {
      assert.equal(job.data, 'private')
      await job.ack()
      break
    }
  }
  await assert.rejects(connect(broker.url()), {
    code: 'UNREACHABLE',
    message: /not trusted .self-signed certificate.; name its authority/,
  })
})
