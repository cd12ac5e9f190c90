/** Passwords as they are kept. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { openBroker } from '../../src/broker/open-broker.ts'
import { hashPassword, hashQuickly, PasswordChecker } from '../../src/server/passwords.ts'
import type { PasswordHash } from '../../src/server/passwords.ts'
import { brokerAuthenticator, defineUser } from '../../src/server/users.ts'

test('scrypt: the right one, again and at once, and no other', async () => {
  const checker = new PasswordChecker()
  const kept = await hashPassword('secret')
  assert.equal(kept.hashing, 'scrypt')
  assert.equal(await checker.check(kept, 'wrong'), false)
  assert.equal(await checker.check(kept, 'secret'), true)
  assert.equal(checker.check(kept, 'secret'), true)
  assert.equal(await checker.check(kept, 'wrong'), false)
  assert.notEqual((await hashPassword('secret')).passwordHash, kept.passwordHash)
})

test("RabbitMQ's hashes, as its definitions hold them", () => {
  const checker = new PasswordChecker()
  // https://www.rabbitmq.com/docs/passwords#computing-password-hash
  const documented: PasswordHash = {
    hashing: 'rabbit_password_hashing_sha256',
    passwordHash: 'kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR',
  }
  assert.equal(checker.check(documented, 'test12'), true)
  assert.equal(checker.check(documented, 'test13'), false)
  const salt = Buffer.from([1, 2, 3, 4])
  const hash = createHash('sha512').update(salt).update('long').digest()
  const passwordHash = Buffer.concat([salt, hash]).toString('base64')
  assert.equal(checker.check({ hashing: 'rabbit_password_hashing_sha512', passwordHash }, 'long'), true)
  assert.equal(checker.check(hashQuickly('guest'), 'guest'), true)
})

test('nobody gets in with nothing: no hash, no password, a hash that is cut short', async () => {
  const checker = new PasswordChecker()
  assert.equal(checker.check({ hashing: 'scrypt', passwordHash: '' }, 'x'), false)
  assert.equal(checker.check(hashQuickly(''), ''), false)
  const { passwordHash } = await hashPassword('secret')
  assert.equal(
    await checker.check({ hashing: 'scrypt', passwordHash: passwordHash.slice(0, 40) }, 'secret'),
    false,
  )
  assert.equal(checker.check({ hashing: 'rabbit_password_hashing_sha256', passwordHash: 'AAAA' }, ''), false)
})

test('who there is is not told by the time: an unknown name waits where a wrong password does', async () => {
  const broker = await openBroker()
  broker.ensureVhost('/')
  const authenticator = brokerAuthenticator(broker)
  const login = (name: string, password: string) => authenticator.login(name, password, () => true)
  const define = (name: string, stored: boolean) =>
    defineUser(broker, { name, password: 'secret', vhosts: ['/'], stored })
  await define('quick', false)
  assert.equal(login('quick', 'wrong'), undefined)
  assert.equal(login('nobody', 'wrong'), undefined)
  await define('slow', true)
  for (const name of ['slow', 'nobody']) {
    const answer = login(name, 'wrong')
    assert.ok(answer instanceof Promise)
    assert.equal(await answer, undefined)
    assert.equal(login(name, ''), undefined)
  }
  await broker.close()
})

test('nothing is hashed for a peer that has gone while others were looked at', async () => {
  const checker = new PasswordChecker()
  const kept = await hashPassword('secret')
  const gone = checker.check(kept, 'secret', () => false)
  const there = checker.check(kept, 'secret')
  assert.equal(await gone, false)
  // Had it been looked at, it would have been right, and so remembered: the next one would be told at once.
  assert.ok(there instanceof Promise)
  assert.equal(await there, true)
})
