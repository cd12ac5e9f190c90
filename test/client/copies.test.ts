/** What was sent is what arrives, whatever its sender or another handler does with the object afterwards. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeBody, encodeBody } from '../../src/client/codec.ts'
import { connect } from '../../src/index.ts'

test('bytes are copied when they are sent: a Buffer too', () => {
  const bytes = Buffer.from('before')
  const body = encodeBody(bytes) as Uint8Array
  bytes.fill(0)
  assert.equal(Buffer.from(body).toString(), 'before')
})

test('a handler that changes its bytes changes no message', () => {
  const body = Buffer.from('before')
  for (const contentType of ['application/octet-stream', 'image/png', undefined]) {
    const properties = contentType === undefined ? {} : { contentType }
    const data = decodeBody({
      exchange: '',
      routingKey: '',
      properties,
      body,
      publishedAtMs: 0,
    }) as Uint8Array
    data.fill(0)
    assert.equal(body.toString(), 'before', String(contentType))
  }
})

test('headers are copied when they are sent', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue('q')
  const headers = { n: 0, trace: { ids: [1] } }
  for (let n = 0; n < 3; n += 1) {
    headers.n = n
    headers.trace.ids[0] = n
    await queue.send(n, { headers })
  }
  headers.n = 9
  const browsed = await queue.browse()
  assert.deepEqual(
    browsed.map((job) => job.headers),
    [0, 1, 2].map((n) => ({ n, trace: { ids: [n] } })),
  )
  const own = JSON.parse('{"__proto__": 1}') as Record<string, number>
  await queue.send('own', { headers: own })
  assert.ok(Object.hasOwn((await queue.browse()).at(-1)?.headers ?? {}, '__proto__'))
})

test('headers that no field can hold are refused and typed, cycles too', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue('q')
  const cycle: Record<string, unknown> = {}
  cycle['again'] = cycle
  for (const headers of [{ f: () => 1 }, { map: new Map() }, cycle]) {
    await assert.rejects(queue.send(1, { headers: headers as never }), { code: 'INVALID_ARGUMENT' })
  }
  assert.equal((await queue.stats()).ready, 0)
})
