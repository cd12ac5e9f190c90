/** The functions on the server: a program brings its own where they are older, and which are older is told by one number. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { findRedis, RedisServer } from '../../servers/redis.ts'
import { Clients } from './world.ts'

const { skip } = await findRedis()
const folder = new URL('../../../src/drivers/redis/lua/', import.meta.url)
/** Of which revision the files are. Whoever changes them raises the number, in both places, and writes the new hash here. */
const known = { revision: 3, hash: '874957dc59bb0b7fada8f458528643232b46a797a80dbd601a2a1b1776faea4f' }

test('the functions are those of their revision', () => {
  const hash = createHash('sha256')
  for (const name of readdirSync(folder).sort()) hash.update(readFileSync(new URL(name, folder)))
  assert.equal(hash.digest('hex'), known.hash, 'the functions changed: raise their revision')
})

test('an older library is replaced, a newer one stays', { skip }, async () => {
  await using server = await RedisServer.start()
  const library = (revision: number): string =>
    `#!lua name=millrace\nredis.register_function('millrace_revision', function() return ${revision} end)`
  await server.command('FUNCTION', 'LOAD', library(known.revision - 1))
  await using clients = new Clients()
  const mq = await clients.connect(server.url())
  assert.equal(await server.command('FCALL', 'millrace_revision', '0'), known.revision)
  await mq.queue('q').send('x')
  assert.equal((await mq.queue('q').browse()).length, 1)

  await server.command('FUNCTION', 'LOAD', 'REPLACE', library(known.revision + 1))
  await clients.connect(server.url())
  assert.equal(await server.command('FCALL', 'millrace_revision', '0'), known.revision + 1)
})
