/** `amqp://` passes the conformance suite on RabbitMQ, and docs/capabilities.md says of it what the run found. */
import { after, test } from 'node:test'
import { findRabbitMq } from '../servers/rabbitmq.ts'
import { rabbitMqEngine, stopRabbitMq } from './rabbitmq-engine.ts'
import { testEngine } from './test-engine.ts'

const { skip } = await findRabbitMq()

if (skip === false) {
  testEngine(rabbitMqEngine)
  after(stopRabbitMq)
} else test('amqp: passes the conformance suite on RabbitMQ', { skip })
