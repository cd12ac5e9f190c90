/** A program that outgrew its folder hands it to the broker, and goes on with another URL. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../../src/index.ts'
import { startBroker } from '../../src/server/index.ts'
import { withFolder } from './folder.ts'

test('what file: put into a folder is there by amqp:// when the broker serves it, and back', () =>
  withFolder(async (folder) => {
    const data = `${folder}/data`
    const attempts = { attempts: 3, maxLength: 10 }
    await using before = await connect(`file:${data}`)
    await before.queue('emails', attempts).send('by file:')
    await before.close()

    await using broker = await startBroker({ data, port: 0 })
    await using served = await connect(broker.url)
    const emails = served.queue<string>('emails', { declare: false })
    assert.equal((await emails.stats()).ready, 1)
    await emails.send('by amqp:')
    await served.close()
    await broker.close()

    await using after = await connect(`file:${data}`)
    const letters = await after.queue<string>('emails', attempts).browse()
    assert.deepEqual(
      letters.map((job) => job.data),
      ['by file:', 'by amqp:'],
    )
  }))
