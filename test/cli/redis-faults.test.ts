/** What the command line says, and ends with, where a Redis is not there, refuses, is full, or goes away. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { findRedis, RedisServer } from '../servers/redis.ts'
import { openInput, shellOn } from './harness.ts'

const { skip } = await findRedis()

let server: RedisServer
before(async () => {
  if (skip === false) server = await RedisServer.start({ sync: 'everysec' })
})
after(() => server?.close())

/** Longer than what is not worth a word. */
async function away(own: RedisServer): Promise<void> {
  await own.stop()
  await sleep(1_500)
  await own.boot()
}

describe('what can go wrong on redis', { skip }, () => {
  const commands = [
    'send p 1',
    'consume p',
    'peek p',
    'stats p',
    'purge p --yes',
    'redrive p',
    'move p q',
    'move q p',
  ]

  test('a queue that is missing is code 3 for every command', async () => {
    const sh = shellOn(server.url())
    await sh('send q 1 --declare')
    for (const line of commands) {
      const { code, output, errors } = await sh(line)
      assert.deepEqual({ code, output }, { code: 3, output: '' }, `${line}: ${errors}`)
      assert.match(errors, /There is no queue p.*\(NOT_FOUND\)\n$/)
    }
  })

  test('no server is code 1 for every command: what to do, in one line', async () => {
    const sh = shellOn('redis://127.0.0.1:1')
    for (const line of [...commands, 'queues', 'stats p --watch', 'consume p --follow']) {
      const { code, output, errors } = await sh(line)
      assert.deepEqual({ code, output }, { code: 1, output: '' }, `${line}: ${errors}`)
      assert.match(
        errors,
        /^millrace: No Redis answers at redis:\/\/127\.0\.0\.1:1 \(.*ECONNREFUSED.*\); is it running\? \(UNREACHABLE\)\n$/,
      )
    }
    assert.match((await sh('queues --debug')).errors, /\n {4}at /)
  })

  test('a server without TLS is asked for TLS in vain, and that is said', async () => {
    const url = server.url().replace('redis:', 'rediss:')
    const { code, errors } = await shellOn(`${url}?connection_timeout=500`)('queues')
    assert.equal(code, 1)
    assert.match(errors, /^millrace: No Redis answers at .*does it speak TLS\? \(UNREACHABLE\)\n$/)
  })

  test('wrong credentials are code 1, and are not shown', async () => {
    await using guarded = await RedisServer.start({ users: true, sync: 'everysec' })
    await guarded.command('ACL', 'SETUSER', 'app', 'on', '>right', '~*', '&*', '+@all')
    for (const user of ['app:wr0ng', 'nobody:wr0ng']) {
      const sh = shellOn(guarded.url().replace('//', `//${user}@`))
      const { code, errors } = await sh('queues')
      assert.equal(code, 1)
      assert.match(errors, /^millrace: redis:\/\/\S+ refused the user or its password.*\(ACCESS_REFUSED\)\n$/)
      assert.doesNotMatch(errors, /wr0ng/)
    }
    const sh = shellOn(guarded.url().replace('//', '//app:right@'))
    assert.equal((await sh('send q 1 --declare')).code, 0)
  })

  test('a user who may not do it is told so', async () => {
    await using guarded = await RedisServer.start({ users: true, sync: 'everysec' })
    await guarded.command('ACL', 'SETUSER', 'app', 'on', '>right', '~other:*', '&*', '+@all')
    const sh = shellOn(guarded.url().replace('//', '//app:right@'))
    const { code, errors } = await sh('send q 1 --declare')
    assert.equal(code, 1)
    assert.match(errors, /^millrace: .*docs\/redis\.md says what its ACL must allow \(ACCESS_REFUSED\)\n$/)
  })

  const wrong: [url: string, says: RegExp][] = [
    ['redis://localhost?perfix=a', /takes no setting 'perfix' \(but prefix, .*lease/],
    ['redis://localhost?lease=soon', /'lease' is a whole number from 100 up/],
    ['redis://localhost/first', /its path is the number of a database/],
    ['redis://localhost#1', /a # is written %23/],
    ['redis://app:s3cret@localhost?cluster=perhaps', /'cluster' is no or yes/],
    ['redis://localhost?prefix={a}', /no braces/],
    ['redis://localhost?prefix=', /not empty/],
    ['localhost:6379', /'redis:\/\/host', not 'localhost:6379' \(INVALID_URL\)/],
    ['127.0.0.1:6379', /'redis:\/\/host', not '127\.0\.0\.1:6379'/],
    ['reddis://localhost', /no engine for 'reddis:'.*'redis:\/\/host'/],
  ]
  for (const [url, says] of wrong) {
    test(`${url} is wrong usage`, async () => {
      const { code, output, errors } = await shellOn(url)('queues')
      assert.deepEqual({ code, output }, { code: 2, output: '' })
      assert.match(errors, /^millrace: .*\n$/)
      assert.match(errors, says)
      assert.doesNotMatch(errors, /s3cret/)
    })
  }

  test('a database that the server does not have is said to be', async () => {
    const { code, errors } = await shellOn(`${server.url()}/99`)('queues')
    assert.equal(code, 1)
    assert.match(
      errors,
      /^millrace: redis:\/\/\S+ does not have the database of the URL's path .*'databases'.* \(NOT_ALLOWED\)\n$/,
    )
  })

  test('a server that would drop messages is refused', async () => {
    await using cache = await RedisServer.start({ settings: { 'maxmemory-policy': 'allkeys-lru' } })
    const { code, errors } = await shellOn(cache.url())('send q 1 --declare')
    assert.equal(code, 1)
    assert.match(errors, /^millrace: .*set maxmemory-policy noeviction.*\(PRECONDITION_FAILED\)\n$/)
  })

  test('a server without an append-only file is warned of', async () => {
    await using forgetful = await RedisServer.start()
    const { code, output, errors } = await shellOn(forgetful.url())('send q 1 --declare')
    assert.equal(code, 0)
    assert.match(output, /^Sent to q/)
    assert.match(errors, /^millrace: warning: Redis keeps no append-only file: .*set appendonly yes\n$/)
  })

  test('a server that is gone for a while is told of, and what waits goes on', async () => {
    await using own = await RedisServer.start({ sync: 'always' })
    const sh = shellOn(own.url())
    await sh('send q 1 --declare')
    const controller = new AbortController()
    let seen = ''
    const following = sh('consume q --follow', {
      interrupted: controller.signal,
      onOutput: (text) => {
        seen += text
        if (seen === '1\n') void away(own).then(() => sh('send q 2'))
        if (seen === '1\n2\n') controller.abort()
      },
    })
    const { code, output, errors } = await following
    assert.deepEqual({ code, output }, { code: 0, output: '1\n2\n' })
    assert.match(
      errors,
      /^millrace: The connection to Redis was lost .*; connecting again\n(.*\n)*millrace: connected again\n$/,
    )
  })

  test('a full server makes send wait, says so, and Ctrl-C ends it', async () => {
    await using own = await RedisServer.start({ sync: 'always' })
    const sh = shellOn(own.url())
    await sh('send q 1 --declare')
    await own.command('CONFIG', 'SET', 'maxmemory', '1')
    const controller = new AbortController()
    const input = openInput()
    let told = ''
    const sending = sh('send q --lines', {
      input,
      interrupted: controller.signal,
      onErrors: (text) => {
        told += text
        if (told.includes('sending waits')) controller.abort()
      },
    })
    input.write('2\n')
    const { code, errors } = await sending
    assert.equal(code, 130)
    assert.match(errors, /^millrace: sending waits: OOM .*\nmillrace: 1 message may have gone to q or not\n$/)
    await own.command('CONFIG', 'SET', 'maxmemory', '0')
    assert.equal((await sh('consume q --count 1')).output, '1\n')
  })

  const waiting = ['consume q --follow', 'stats q --watch', 'send q --lines', 'send q 2', 'move q p']
  for (const line of waiting) {
    test(`Ctrl-C ends '${line}' while the server does not answer`, { timeout: 30_000 }, async () => {
      await using own = await RedisServer.start({ sync: 'always' })
      const sh = shellOn(own.url())
      await sh('send q 1 --declare')
      await sh('send p 1 --declare')
      const controller = new AbortController()
      const input = openInput()
      const running = sh(line, { input, interrupted: controller.signal, onOutput: () => own.freeze() })
      if (line.startsWith('send') || line.startsWith('move')) {
        // No output tells that they are connected: one of them freezes before, the others after.
        setTimeout(() => own.freeze(), 100)
        setTimeout(() => input.write('2\n'), 200)
      }
      setTimeout(() => controller.abort(), 1_000)
      const { code, errors } = await running
      assert(code === 130 || code === 0, `${code}: ${errors}`)
    })
  }
})
