/** The RabbitMQ of the tests: starts, stops, dies and comes back, beside others, and leaves nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findRabbitMq, RabbitMq } from './rabbitmq.ts'

const { skip } = await findRabbitMq()

test('two servers run beside each other; each comes back from a stop and from a kill', { skip }, async () => {
  await using one = await RabbitMq.start()
  await using other = await RabbitMq.start()
  assert.notEqual(one.port, other.port)
  await one.addVhost('ours')
  const exists = (server: RabbitMq): Promise<string> => server.evaluate('rabbit_vhost:exists(<<"ours">>)')
  assert.deepEqual([await exists(one), await exists(other)], ['true', 'false'])
  await one.kill()
  await one.boot()
  assert.equal(await exists(one), 'true')
  await other.restart()
  await other.memoryAlarm(true)
  assert.match(await other.evaluate('rabbit_alarm:get_alarms()'), /memory/)
  await other.memoryAlarm(false)
  assert.match(await one.ctl('list_vhosts'), /ours/)
})
