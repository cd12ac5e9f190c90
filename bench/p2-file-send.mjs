/** P2: `file:` send, resolved when the message is on the disk, against the bare disk and embedded databases. */
import { open as openFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connectMillrace, inLanes, payload, rateOf } from './load.mjs'

export default {
  title: 'file: send of 1 KB, resolved after the sync, 1,000 in flight; messages/s',
  options: { messages: 300_000, warmup: 30_000, lanes: 1_000, bytes: 1_024 },
  quick: { messages: 50_000, warmup: 10_000 },
  contestants: {
    async millrace({ options, folder }) {
      return { rate: await send({ options, folder, data: Buffer.alloc(options.bytes, 'x') }) }
    },

    /** As most programs send: an object, written as JSON. The peers are given bytes that are ready. */
    async 'millrace, JSON'({ options, folder }) {
      return { rate: await send({ options, folder, data: payload(options.bytes) }) }
    },

    /** What is in flight, in one write and one fdatasync: the most that this disk can do for anybody. */
    async 'disk: write + fdatasync'({ options, folder }) {
      const file = await openFile(join(folder, 'log'), 'a')
      const batch = Buffer.alloc(options.lanes * options.bytes, 'x')
      const rate = await rateOf(options.messages, options.warmup, async (count) => {
        for (let sent = 0; sent < count; sent += options.lanes) {
          await file.write(batch)
          await file.datasync()
        }
      })
      await file.close()
      return { rate }
    },

    async 'SQLite WAL FULL'({ options, folder }) {
      const { openSqlite } = await import('./peers/sqlite.mjs')
      const { database, insertBatch } = await openSqlite(folder, options)
      const rate = await rateOf(options.messages, options.warmup, async (count) => {
        for (let sent = 0; sent < count; sent += options.lanes) insertBatch()
      })
      database.close()
      return { rate }
    },

    /** `put` resolves when visible, `flushed` when synced: the batch awaits the latter. */
    async LMDB({ options, folder }) {
      const { open } = await import('lmdb')
      const database = open({ path: join(folder, 'bench.lmdb'), encoding: 'binary', keyEncoding: 'uint32' })
      const body = Buffer.alloc(options.bytes, 'x')
      let next = 0
      const rate = await rateOf(options.messages, options.warmup, async (count) => {
        for (let sent = 0; sent < count; sent += options.lanes) {
          for (let lane = 0; lane < options.lanes; lane++) void database.put(next++, body)
          await database.flushed
        }
      })
      await database.close()
      return { rate }
    },
  },
  targets: [
    { of: 'millrace', to: 'disk: write + fdatasync', metric: 'rate', atLeast: 0.6 },
    { of: 'millrace', to: 'SQLite WAL FULL', metric: 'rate', atLeast: 1 },
  ],
}

async function send({ options, folder, data }) {
  const mq = await connectMillrace(`file:${folder}`)
  const queue = mq.queue('bench')
  await queue.declare()
  const rate = await rateOf(options.messages, options.warmup, (count) =>
    inLanes({ lanes: options.lanes, messages: count }, () => queue.send(data)),
  )
  await mq.close()
  return rate
}
