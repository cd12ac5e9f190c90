/** `file:` under test: a folder on the real disk, behind a disk that can be made to fail. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Driver } from '../../src/client/driver.ts'
import type { ConnectOptions, EngineUnderTest, Harness } from '../../src/conformance/index.ts'
import { fileDriver } from '../../src/drivers/file.ts'
import { NodeDisk } from '../../src/store/node-disk.ts'
import { FaultyDisk } from './faulty-disk.ts'
import { stepClock } from './step-clock.ts'

export const fileEngine: EngineUnderTest = { name: 'file', create: createFile }

/** One life of the engine: from the first connection until it stops or dies. */
interface Life {
  readonly url: string
  readonly disk: FaultyDisk
  /** Keeps the engine up while no other connection does. */
  readonly keeper: Driver
}

let lives = 0

async function createFile(): Promise<Harness> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-conformance-'))
  const clock = stepClock()
  const begin = async (): Promise<Life> => {
    lives += 1
    // Drivers of one folder share a broker: a new name for each life keeps it apart from the one that died.
    const url = `file:${folder}/life-${lives}`
    const disk = new FaultyDisk(new NodeDisk(join(folder, 'data')))
    const keeper = fileDriver(url, { disk })
    await keeper.open()
    return { url, disk, keeper }
  }
  let life = await begin()
  return {
    connect: (options: ConnectOptions = {}) => fileDriver(life.url, { ...options, disk: life.disk }),
    restart: async () => {
      await life.keeper.close()
      life = await begin()
    },
    crash: async () => {
      await life.disk.die()
      life = await begin()
    },
    tearLastWrite: async () => {
      await life.disk.dieTorn()
      life = await begin()
    },
    diskFull: async (full: boolean) => life.disk.fill(full),
    stepClock: clock.step,
    dispose: async () => {
      clock.restore()
      await life.keeper.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
