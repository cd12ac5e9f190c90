/** The engines of docs/capabilities.md, in the order of its columns. */
import type { EngineUnderTest } from '../../src/conformance/index.ts'
import { fileEngine } from './file-engine.ts'
import { memoryEngine } from './memory-engine.ts'
import { millraceEngine } from './millrace-engine.ts'
import { rabbitMqEngine } from './rabbitmq-engine.ts'
import { redisClusterEngine, redisEngine } from './redis-engine.ts'

export const engines: readonly EngineUnderTest[] = [
  memoryEngine,
  fileEngine,
  rabbitMqEngine,
  millraceEngine,
  redisEngine,
  redisClusterEngine,
]
