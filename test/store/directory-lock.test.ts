/** LOCK as other processes, other machines and odd file systems may leave it. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, afterEach, describe, mock, test } from 'node:test'
import { acquireLock, describeHolder } from '../../src/store/directory-lock.ts'

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-lock-'))
after(() => fs.rmSync(root, { recursive: true, force: true }))
afterEach(() => {
  mock.restoreAll()
  mock.timers.reset()
})

const locked = { code: 'DIRECTORY_LOCKED' }
const longAgo = Date.now() / 1000 - 60

let folders = 0
function newFolder(): string {
  folders += 1
  const folder = path.join(root, String(folders))
  fs.mkdirSync(folder)
  return folder
}

function put(folder: string, content: string, name = 'LOCK'): string {
  const file = path.join(folder, name)
  fs.writeFileSync(file, content)
  return file
}

/** What this process writes into its own LOCK. */
async function ownFacts(): Promise<Record<string, unknown>> {
  const folder = newFolder()
  const lock = await acquireLock(folder, 'LOCK')
  const facts = JSON.parse(fs.readFileSync(path.join(folder, 'LOCK'), 'utf8')) as Record<string, unknown>
  await lock.release()
  return facts
}

describe('a LOCK that cannot be read', () => {
  for (const content of ['', '{', 'null', '7', '{}', '{"pid":1}', '{"pid":"1","bootId":""}']) {
    test(`(${content || 'empty'}) is somebody’s until nobody has touched it for long`, async () => {
      const folder = newFolder()
      const file = put(folder, content)
      await assert.rejects(acquireLock(folder, 'LOCK'), { ...locked, message: /in use by another process/ })
      assert.equal(await describeHolder(folder, 'LOCK'), 'another process')
      fs.utimesSync(file, longAgo, longAgo)
      assert.equal(await describeHolder(folder, 'LOCK'), undefined)
      const lock = await acquireLock(folder, 'LOCK')
      await lock.release()
      assert.deepEqual(fs.readdirSync(folder), [])
    })
  }

  test('because it is a folder is an error', async () => {
    const folder = newFolder()
    fs.mkdirSync(path.join(folder, 'LOCK'))
    await assert.rejects(describeHolder(folder, 'LOCK'), { code: 'EISDIR' })
  })
})

describe('an owner on this machine', () => {
  test('whose start is not known is alive as long as there is such a process', async () => {
    const own = await ownFacts()
    const folder = newFolder()
    put(folder, JSON.stringify({ ...own, startTime: '', nonce: 'other' }))
    await assert.rejects(acquireLock(folder, 'LOCK'), locked)
    mock.method(process, 'kill', () => {
      throw Object.assign(new Error('not allowed'), { code: 'EPERM' })
    })
    await assert.rejects(acquireLock(folder, 'LOCK'), locked)
    mock.restoreAll()
    put(folder, JSON.stringify({ ...own, pid: 999_999_999, startTime: '', nonce: 'other' }))
    const lock = await acquireLock(folder, 'LOCK')
    await lock.release()
  })

  test('whose number another process has now is dead', async () => {
    const own = await ownFacts()
    const folder = newFolder()
    put(folder, JSON.stringify({ ...own, startTime: '1', nonce: 'other' }))
    const lock = await acquireLock(folder, 'LOCK')
    await lock.release()
  })
})

describe('the guard of a takeover', () => {
  const dead = { pid: 999_999_999, bootId: 'x', pidNamespace: 'y', startTime: '1', host: 'gone', nonce: 'n' }

  test('that its maker left behind is removed', async () => {
    const folder = newFolder()
    fs.utimesSync(put(folder, JSON.stringify(dead)), longAgo, longAgo)
    fs.utimesSync(put(folder, JSON.stringify(dead), 'LOCK.takeover'), longAgo, longAgo)
    const lock = await acquireLock(folder, 'LOCK')
    await lock.release()
    assert.deepEqual(fs.readdirSync(folder), [])
  })

  test('that somebody holds for ever ends the attempt', async () => {
    const own = await ownFacts()
    const folder = newFolder()
    fs.utimesSync(put(folder, JSON.stringify(dead)), longAgo, longAgo)
    put(folder, JSON.stringify({ ...own, nonce: 'other' }), 'LOCK.takeover')
    await assert.rejects(acquireLock(folder, 'LOCK'), { ...locked, message: /in use by another process/ })
  })
})

describe('a file system without hard links', () => {
  function withoutLinks(code: string): void {
    mock.method(fs.promises, 'link', () => Promise.reject(Object.assign(new Error(code), { code })))
  }

  test('has locks all the same', async () => {
    const folder = newFolder()
    withoutLinks('EPERM')
    const lock = await acquireLock(folder, 'LOCK')
    await assert.rejects(acquireLock(folder, 'LOCK'), { ...locked, message: /process \d+ on/ })
    await lock.release()
    assert.deepEqual(fs.readdirSync(folder), [])
  })

  test('is told from one that fails', async () => {
    withoutLinks('EIO')
    await assert.rejects(acquireLock(newFolder(), 'LOCK'), { code: 'EIO' })
    mock.restoreAll()
    withoutLinks('ENOTSUP')
    const folder = newFolder()
    const { writeFile } = fs.promises
    mock.method(fs.promises, 'writeFile', (file: string, text: string, options: fs.WriteFileOptions) => {
      if (!file.endsWith('LOCK')) return writeFile(file, text, options)
      return Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
    })
    await assert.rejects(acquireLock(folder, 'LOCK'), { code: 'EIO' })
  })
})

test('where the system tells nothing of processes, a lock excludes and is released', async () => {
  const missing = () => Promise.reject(Object.assign(new Error('ENOENT'), { code: 'ENOENT' }))
  const { readFile } = fs.promises
  mock.method(fs.promises, 'readlink', missing)
  mock.method(fs.promises, 'readFile', (file: string, encoding: 'utf8') =>
    file.startsWith('/proc/') ? missing() : readFile(file, encoding),
  )
  const folder = newFolder()
  const lock = await acquireLock(folder, 'LOCK')
  await assert.rejects(acquireLock(folder, 'LOCK'), {
    ...locked,
    message: new RegExp(`process ${process.pid}`),
  })
  await lock.release()
})

test('an owner touches its LOCK now and then, and leaves one that is not its own any more', async () => {
  mock.timers.enable({ apis: ['setInterval'] })
  const folder = newFolder()
  const lock = await acquireLock(folder, 'LOCK')
  const file = path.join(folder, 'LOCK')
  fs.utimesSync(file, longAgo, longAgo)
  mock.timers.tick(2000)
  while (fs.statSync(file).mtimeMs < Date.now() - 30_000)
    await new Promise((resolve) => setImmediate(resolve))
  put(folder, JSON.stringify({ ...JSON.parse(fs.readFileSync(file, 'utf8')), nonce: 'other' }))
  await lock.release()
  assert.equal(fs.existsSync(file), true)
})
