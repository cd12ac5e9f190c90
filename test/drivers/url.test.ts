import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { fileDriver } from '../../src/drivers/file.ts'
import { memoryDriver } from '../../src/drivers/memory.ts'
import { connect } from '../../src/index.ts'
import { withFolder } from './folder.ts'

test('one folder has many spellings, and all of them are that folder', () =>
  withFolder(async (root) => {
    const folder = join(root, 'a folder, 100% übung #1')
    const encoded = encodeURIComponent('a folder, 100% übung #1')
    const urls = [
      pathToFileURL(folder).href,
      pathToFileURL(folder),
      `file://localhost${pathToFileURL(folder).pathname}`,
      `file:${root}/${encoded}`,
      `file:${relative(process.cwd(), root)}/${encoded}`,
      `FILE:${root}/./x/../${encoded}`,
      `file:${root}/${encoded}/`,
    ]
    for (const [place, url] of urls.entries()) {
      await using mq = await connect(url)
      await mq.queue('q').send(place)
      assert.equal((await mq.queue('q').stats()).ready, place + 1, String(url))
    }
    assert.ok(existsSync(join(folder, 'FORMAT')))
  }))

test('sync is a setting of the URL', () =>
  withFolder(async (root) => {
    for (const sync of ['group', 'os', '50ms']) {
      await using mq = await connect(`file:${root}/data?sync=${sync}`)
      await mq.queue('q').send(sync)
    }
    await using mq = await connect(`file:${root}/data`)
    assert.deepEqual(
      (await mq.queue('q').browse()).map((job) => job.data),
      ['group', 'os', '50ms'],
    )
  }))

test('what is no folder is INVALID_URL, and says what to write', () => {
  const wrong = [
    'file:',
    'file:?sync=os',
    'file://',
    'file:///',
    'file:./d?sync=',
    'file:./d?sync=0ms',
    'file:./d?sync=5s',
    'file:./d?sync=GROUP',
    'file:./d?sync=os&sync=group',
    'file:./d?fsync=os',
    'file:./d#part',
    'file://other-host/data',
    'file:./100%',
    'file:./a%00b',
    'file:///a%2Fb',
  ]
  for (const url of wrong) {
    assert.throws(() => fileDriver(url), { code: 'INVALID_URL', message: /'file:/ }, url)
  }
  for (const url of ['memory:a b?x', 'memory:a/b', 'memory:#x', 'memory']) {
    assert.throws(() => memoryDriver(url), { code: 'INVALID_URL', message: /memory:name/ }, url)
  }
})
