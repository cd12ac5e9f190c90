/** The seam to the file system where it does what it seldom does: writes in part, has no room, forbids. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, afterEach, describe, mock, test } from 'node:test'
import { errorCode, readWhole, unlinkIfPresent } from '../../src/store/disk.ts'
import { NodeDisk } from '../../src/store/node-disk.ts'

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-files-'))
after(() => fs.rmSync(root, { recursive: true, force: true }))
afterEach(() => mock.restoreAll())

const disk = new NodeDisk(root)
const pieces = [Buffer.from('one'), Buffer.alloc(0), Buffer.from('two'), Buffer.from('three')]

function failing(code: string): () => never {
  return () => {
    throw Object.assign(new Error(`${code}: made up`), { code })
  }
}

async function contentAfter(write: (name: string) => Promise<void>): Promise<string> {
  const name = `file ${Math.random()}`
  await write(name)
  return fs.readFileSync(path.join(root, name), 'utf8')
}

describe('a file', () => {
  test('takes its buffers in order and gives them back, at once or not', async () => {
    const content = await contentAfter(async (name) => {
      const file = await disk.open(name, 'create')
      await file.write(pieces, 0)
      file.writeSync(pieces, 11)
      file.syncSync()
      await file.sync()
      assert.equal(await file.size(), 22)
      const target = Buffer.alloc(30, '.')
      assert.equal(await file.read(target, 3), 19)
      assert.equal(target.toString(), 'twothreeonetwothree...........')
      await file.truncate(14)
      await file.write([], 0)
      await file.close()
    })
    assert.equal(content, 'onetwothreeone')
  })

  test('is written to its end where the system writes in part', async () => {
    const { writev, writevSync } = fs
    const some = (buffers: readonly Uint8Array[]) => [Buffer.concat(buffers).subarray(0, 4)]
    type Done = (error: NodeJS.ErrnoException | null, written: number) => void
    mock.method(fs, 'writev', (file: number, buffers: Uint8Array[], at: number, done: Done) => {
      writev(file, some(buffers), at, done)
    })
    mock.method(fs, 'writevSync', (file: number, buffers: Uint8Array[], at: number) =>
      writevSync(file, some(buffers), at),
    )
    const content = await contentAfter(async (name) => {
      const file = await disk.open(name, 'create')
      await file.write(pieces, 0)
      file.writeSync(pieces, 11)
      await file.close()
    })
    assert.equal(content, 'onetwothreeonetwothree')
  })

  test('that takes nothing is on a full disk', async () => {
    mock.method(
      fs,
      'writev',
      (_fd: number, _buffers: unknown, _at: number, done: (e: null, n: number) => void) => done(null, 0),
    )
    mock.method(fs, 'writevSync', () => 0)
    const file = await disk.open('full', 'create')
    await assert.rejects(file.write(pieces, 0), { code: 'ENOSPC' })
    assert.throws(() => file.writeSync(pieces, 0), { code: 'ENOSPC' })
    await file.close()
  })

  test('that is not there, or is a folder, is an error of its own kind', async () => {
    assert.equal(await readWhole(disk, 'missing'), undefined)
    await unlinkIfPresent(disk, 'missing')
    fs.mkdirSync(path.join(root, 'folder'))
    await assert.rejects(readWhole(disk, 'full/below'), { code: 'ENOTDIR' })
    await assert.rejects(unlinkIfPresent(disk, 'folder'))
    assert.deepEqual(await disk.list('missing'), [])
    await assert.rejects(disk.list('full'), { code: 'ENOTDIR' })
    await disk.rename('full', 'moved')
    assert.equal((await readWhole(disk, 'moved'))?.length, 0)
  })
})

describe('a folder', () => {
  test('says how much is free', async () => {
    assert.ok((await disk.freeBytes()) > 0)
  })

  test('is made with those above it, and is there already the second time', async () => {
    const deep = new NodeDisk(path.join(root, 'a', 'b', 'c'))
    await deep.prepare()
    await deep.prepare()
    await deep.makeDirectory('log')
    await deep.syncDirectory('log')
    assert.deepEqual(await deep.list(''), ['log'])
  })

  const reasons: readonly (readonly [code: string, says: RegExp])[] = [
    ['EACCES', /this user may not write there/],
    ['EPERM', /this user may not write there/],
    ['EROFS', /read-only/],
    ['ENOSPC', /there is no room/],
    ['EDQUOT', /there is no room/],
    ['EIO', /EIO: made up/],
  ]
  for (const [code, message] of reasons) {
    test(`that cannot be made because of ${code} says what to do`, async () => {
      mock.method(fs.promises, 'mkdir', failing(code))
      await assert.rejects(new NodeDisk(path.join(root, 'new')).prepare(), {
        code: 'DIRECTORY_UNUSABLE',
        message,
      })
    })
  }

  test('in which no lock can be made says what to do', async () => {
    mock.method(fs.promises, 'writeFile', failing('EROFS'))
    await assert.rejects(disk.lock(), { code: 'DIRECTORY_UNUSABLE', message: /read-only/ })
  })
})

test('what is thrown has a code, or none', () => {
  assert.equal(errorCode(Object.assign(new Error('no'), { code: 'EIO' })), 'EIO')
  for (const thrown of [new Error('no'), { code: 5 }, 'EIO', null, undefined])
    assert.equal(errorCode(thrown), '')
})
