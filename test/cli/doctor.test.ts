import assert from 'node:assert/strict'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { connect } from '../../src/index.ts'
import { jsonLines, shell } from './harness.ts'

/** A folder of 2,000 messages. */
async function filled() {
  const made = await shell()
  const data = join(made.folder, 'data')
  const input = Array.from({ length: 2_000 }, (_, index) => `${index}\n`).join('')
  await made.sh('send q --lines --declare', { input })
  return { ...made, data, input }
}

/** Overwrites a hundred bytes in the middle of the first log file. */
async function damage(data: string): Promise<void> {
  const log = join(data, 'log/0000000001.log')
  const bytes = await readFile(log)
  await writeFile(log, bytes.fill(0xff, bytes.length / 2, bytes.length / 2 + 100))
}

describe('doctor', () => {
  test('a sound folder is code 0, with its files and queues', async () => {
    const { sh, data } = await filled()
    const { code, output, errors } = await sh(['doctor', data])
    assert.equal(errors, '')
    assert.equal(code, 0)
    assert.match(output, /log\/0000000001\.log/)
    assert.match(output, /\/ +q +2,000 +0/)
    assert.match(output, /The folder is sound\.\n$/)
    const [json] = jsonLines((await sh(['doctor', `file:${data}`, '--json'])).output)
    assert.equal(json?.['isHealthy'], true)
  })

  test('damage is code 1 and changes nothing; --repair mends it and keeps a copy', async () => {
    const { sh, data, input } = await filled()
    await damage(data)
    const damaged = await readFile(join(data, 'log/0000000001.log'))
    for (let time = 1; time <= 2; time++) {
      const { code, output } = await sh(['doctor', data])
      assert.equal(code, 1)
      assert.match(output, /error log\/0000000001\.log: .* cannot be read/)
      assert.match(output, /The folder has \d+ problems?; --repair mends/)
    }
    assert.deepEqual(await readFile(join(data, 'log/0000000001.log')), damaged)

    const repaired = await sh(['doctor', data, '--repair'])
    assert.equal(repaired.code, 0, repaired.errors)
    assert.match(repaired.output, /done: .*quarantine/)
    assert.match(repaired.output, /The folder is sound\.\n$/)
    const [copy = ''] = await readdir(join(data, 'quarantine'))
    assert.deepEqual(await readFile(join(data, 'quarantine', copy)), damaged)

    assert.equal((await sh(['doctor', data, '--repair'])).code, 0)
    const { output, errors } = await sh('consume q')
    assert.equal(errors, '')
    const left = new Set(output.trimEnd().split('\n'))
    assert(left.size > 0 && left.size < 2_000)
    assert(
      [...left].every((line) => input.includes(`${line}\n`)),
      'what is left is as it was sent',
    )
  })

  test('a folder in use is not touched', async (t) => {
    const { sh, url, data } = await filled()
    const mq = await connect(url)
    t.after(() => mq.close())
    for (const line of [
      ['doctor', data],
      ['doctor', data, '--repair'],
    ]) {
      const { code, errors } = await sh(line)
      assert.equal(code, 1)
      assert.match(errors, /is in use by process \d+.*\(DIRECTORY_LOCKED\)/)
    }
  })

  test('what is no data folder is said to be none', async () => {
    const { sh, folder } = await shell()
    await mkdir(join(folder, 'empty'))
    await mkdir(join(folder, 'other'))
    await writeFile(join(folder, 'other/notes.txt'), 'mine')
    const missing = await sh(['doctor', join(folder, 'missing')])
    assert.deepEqual([missing.code, /NOT_FOUND/.test(missing.errors)], [3, true])
    const empty = await sh(['doctor', join(folder, 'empty')])
    assert.deepEqual([empty.code, /is empty/.test(empty.errors)], [3, true])
    for (const name of ['other', 'other/notes.txt']) {
      for (const repair of [[], ['--repair']]) {
        const { code, errors } = await sh(['doctor', join(folder, name), ...repair])
        assert.equal(code, 1)
        assert.match(errors, /DIRECTORY_UNUSABLE/)
      }
    }
    assert.deepEqual(await readdir(join(folder, 'other')), ['notes.txt'])
  })
})
