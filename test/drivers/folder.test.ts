/** Who may have a folder, and what is wrong with one. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { connect } from '../../src/index.ts'
import { withFolder } from './folder.ts'

const root = resolve(import.meta.dirname, '../..')

/** Runs a program of its own against the source; what it prints. */
async function program(lines: readonly string[], folder: string): Promise<string> {
  const source = [`import { connect } from '${root}/src/index.ts'`, ...lines].join('\n')
  const path = join(folder, 'program.mts')
  await writeFile(path, source)
  const env = { ...process.env, FOLDER: join(folder, 'data') }
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', path], {
    cwd: root,
    env,
  })
  return stdout
}

test('two connections of one process share a folder; it is free when both are closed', () =>
  withFolder(async (folder) => {
    const url = `file:${folder}/data`
    const [one, two] = await Promise.all([connect(url), connect(url)])
    await one.queue('q').send('shared')
    assert.equal((await two.queue('q').stats()).ready, 1)
    await one.close()
    await two.queue('q').send('still open')
    await two.close()
    await using again = await connect(url)
    assert.equal((await again.queue('q').stats()).ready, 2)
  }))

test('a second process gets DIRECTORY_LOCKED, and is told what to do', () =>
  withFolder(async (folder) => {
    await using mq = await connect(`file:${folder}/data`)
    const said = await program(
      [
        "const error = await connect('file:' + process.env.FOLDER).catch((error) => error)",
        'console.log(error.name, error.code, error.message)',
      ],
      folder,
    )
    assert.match(said, /^StoreError DIRECTORY_LOCKED /)
    assert.match(said, new RegExp(`process ${process.pid} `))
    assert.match(said, /stop that process, use another folder, or let both talk to one broker/)
    await mq.queue('q').send('unharmed')
  }))

test('a process that ends without close loses nothing confirmed, and its folder is free at once', () =>
  withFolder(async (folder) => {
    await program(
      [
        "const mq = await connect('file:' + process.env.FOLDER)",
        'const ids = Array.from({ length: 200 }, (_, n) => n)',
        "await mq.queue('q').sendMany(ids)",
        "mq.queue('q').work((job) => { if (job.data === 3) process.exit(0) })",
      ],
      folder,
    )
    await using mq = await connect(`file:${folder}/data`)
    const left = await mq.queue<number>('q').browse({ limit: 1_000 })
    const numbers = left.map((job) => job.data as number)
    assert.deepEqual(numbers.filter((n) => n > 3).length, 196)
    assert.ok(numbers.includes(3), 'what was in hand comes back')
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
      'in order',
    )
  }))

test('a process that waits for a consumer stays; one that has nothing to wait for ends', () =>
  withFolder(async (folder) => {
    const said = await program(
      [
        "const mq = await connect('file:' + process.env.FOLDER)",
        "const worker = mq.queue('q').work((job) => { console.log('got', job.data); void worker.close() })",
        'await worker.ready',
        "setTimeout(() => mq.queue('q').send('it'), 100).unref()",
        'setTimeout(() => {}, 150)',
      ],
      folder,
    )
    assert.equal(said, 'got it\n')
  }))

test('a folder that cannot be used is DIRECTORY_UNUSABLE, whatever is wrong with it', () =>
  withFolder(async (folder) => {
    await writeFile(join(folder, 'a-file'), 'hello')
    await mkdir(join(folder, 'foreign'))
    await writeFile(join(folder, 'foreign', 'thesis.doc'), 'precious')
    for (const name of ['a-file', 'a-file/below', 'foreign']) {
      await assert.rejects(
        connect(`file:${folder}/${name}`),
        (error: Error & { code: string }) => {
          assert.equal(error.name, 'StoreError')
          assert.equal(error.code, 'DIRECTORY_UNUSABLE')
          assert.ok(error.message.includes(folder), error.message)
          return true
        },
        name,
      )
    }
    assert.equal(await readFile(join(folder, 'foreign', 'thesis.doc'), 'utf8'), 'precious')
    assert.equal(await readFile(join(folder, 'a-file'), 'utf8'), 'hello')
  }))

test(
  'a folder that cannot be made is DIRECTORY_UNUSABLE',
  { skip: process.platform !== 'linux' },
  async () => {
    await assert.rejects(connect('file:/proc/nowhere'), { code: 'DIRECTORY_UNUSABLE' })
  },
)

test('a folder that may not be written is DIRECTORY_UNUSABLE', { skip: process.platform === 'win32' }, () =>
  withFolder(async (folder) => {
    await mkdir(join(folder, 'data'))
    await chmod(folder, 0o755)
    await chmod(join(folder, 'data'), 0o555)
    const said = await program(
      [
        // Loads what it needs, and is nobody from then on: root may write anywhere.
        "await (await connect('memory:')).close()",
        `await import('${root}/src/drivers/file.ts')`,
        'if (process.getuid() === 0) process.seteuid(65534)',
        "const error = await connect('file:' + process.env.FOLDER).catch((error) => error)",
        'console.log(error.name, error.code)',
      ],
      folder,
    )
    assert.equal(said, 'StoreError DIRECTORY_UNUSABLE\n')
  }),
)

test('a folder of a newer format is FORMAT_TOO_NEW and stays as it is', () =>
  withFolder(async (folder) => {
    const url = `file:${folder}/data`
    const mq = await connect(url)
    await mq.queue('q').send(1)
    await mq.close()
    const path = join(folder, 'data', 'FORMAT')
    const ours = await readFile(path, 'utf8')
    const facts = ours.split(' ').slice(0, 3).join(' ').replace(/ \d+ /, ' 999 ')
    const newer = `${facts} ${crc32(Buffer.from(facts)).toString(16).padStart(8, '0')}\n`
    await writeFile(path, newer)
    await assert.rejects(connect(url), { code: 'FORMAT_TOO_NEW', message: /upgrade/ })
    assert.equal(await readFile(path, 'utf8'), newer)
    await writeFile(path, ours)
    await using again = await connect(url)
    assert.equal((await again.queue('q').stats()).ready, 1)
  }))

test('a failed opening is tried anew by the next', () =>
  withFolder(async (folder) => {
    const path = join(folder, 'data')
    await writeFile(path, 'in the way')
    const both = await Promise.allSettled([connect(`file:${path}`), connect(`file:${path}`)])
    assert.deepEqual(
      both.map((result) => result.status),
      ['rejected', 'rejected'],
    )
    await rm(path)
    await using mq = await connect(`file:${path}`)
    await mq.queue('q').send(1)
  }))
