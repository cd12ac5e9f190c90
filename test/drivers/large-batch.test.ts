/** A batch larger than what may wait for the disk at once. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileDriver } from '../../src/drivers/file.ts'
import { partsOf } from '../../src/drivers/in-process-publish.ts'
import { Client } from '../../src/index.ts'
import type { Outgoing } from '../../src/index.ts'
import { NodeDisk } from '../../src/store/node-disk.ts'
import type { DiskFile } from '../../src/store/disk.ts'
import { withFolder } from './folder.ts'

test('it is written in parts, publishers being held back in between, and in order', () =>
  withFolder(async (folder) => {
    const disk = new NodeDisk(join(folder, 'data'))
    const open = disk.open.bind(disk)
    let largest = 0
    disk.open = async (name, mode) => {
      const file: DiskFile = await open(name, mode)
      const write = file.write.bind(file)
      file.write = (buffers, position) => {
        largest = Math.max(
          largest,
          buffers.reduce((sum, buffer) => sum + buffer.length, 0),
        )
        return write(buffers, position)
      }
      return file
    }
    const driver = fileDriver(`file:${folder}/data`, { disk, limits: { unwrittenBytes: 10_000 } })
    await using mq = new Client(driver, await driver.open())
    let blocked = 0
    mq.on('blocked', () => (blocked += 1))
    const queue = mq.queue<string>('q')
    const texts = Array.from({ length: 300 }, (_, n) => `${n} ${'x'.repeat(1_000)}`)
    const sent = queue.sendMany(texts)
    await Promise.all([sent, queue.send('last')])
    assert.equal((await sent).length, 300)
    assert.ok(blocked > 5, `${blocked}`)
    assert.ok(largest < 40_000, `${largest} bytes in one write`)
    const found = await queue.browse({ limit: 1_000 })
    const numbers = found.map(({ data }) => data).filter((data) => data !== 'last')
    assert.deepEqual(numbers, texts)
  }))

test('parts hold the messages of the batch, each of about so many bytes', () => {
  const outgoing = (body: string): Outgoing => ({ exchange: '', routingKey: 'q', properties: {}, body })
  const batch = ['aaa', 'bb', 'cccccc', 'd'].map(outgoing)
  const bodies = partsOf(batch, 5).map((part) => part.map(({ body }) => body))
  assert.deepEqual(bodies, [['aaa', 'bb'], ['cccccc'], ['d']])
  assert.equal(partsOf(batch, 1_000)[0], batch)
  assert.deepEqual(partsOf([], 5), [[]])
})
