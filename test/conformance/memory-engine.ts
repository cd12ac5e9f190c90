/** `memory:` under test: one broker, its memory mark set low so that publishers can be made to wait. */
import { randomUUID } from 'node:crypto'
import { Broker } from '../../src/broker/broker.ts'
import type { ConnectOptions, EngineUnderTest, Harness } from '../../src/conformance/index.ts'
import { InProcessDriver } from '../../src/drivers/in-process.ts'
import { stepClock } from './step-clock.ts'

const highWaterBytes = 8 * 1_024 * 1_024

export const memoryEngine: EngineUnderTest = { name: 'memory', create: async () => createMemory() }

function createMemory(): Harness {
  const broker = new Broker({ newName: randomUUID, limits: { memoryBytes: highWaterBytes } })
  const clock = stepClock()
  return {
    highWaterBytes,
    connect: (options: ConnectOptions = {}) =>
      new InProcessDriver({
        name: 'memory',
        namespace: options.namespace,
        acquire: async () => ({ broker, release: async () => broker.invariants() }),
      }),
    stepClock: clock.step,
    dispose: async () => {
      clock.restore()
      await broker.close()
    },
  }
}
