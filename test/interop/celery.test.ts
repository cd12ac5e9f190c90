/** Python's kombu, and Celery on top of it, as Debian has them. */
import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { startTestBroker } from './broker.ts'
import type { TestBroker } from './broker.ts'
import { needPython, spawnPython } from './clients.ts'

const skipKombu = await needPython('kombu')
const skipCelery = await needPython('celery')

let broker: TestBroker
before(async () => {
  broker = await startTestBroker()
})
after(() => broker[Symbol.asyncDispose]())

test('kombu: pools, confirms, compression, queues that expire', { skip: skipKombu }, async () => {
  assert.equal(await text(spawnPython('kombu_round.py', broker.url()).stdout), 'ok\n')
})

test('Celery: tasks, chains, groups, retries, results by rpc://, control', { skip: skipCelery }, async () => {
  assert.deepEqual(JSON.parse(await text(spawnPython('celery_app.py', broker.url()).stdout)), {
    add: 5,
    chain: 7,
    group: [0, 2, 4, 6, 8],
    flaky: 2,
    later: 2,
    broken: "ValueError('as it should be')",
    ping: [{ ok: 'pong' }],
  })
})
