/** Users and what they may do. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Definition } from '../../src/model/record.ts'
import { Engine, silentJournal } from '../../src/engine/engine.ts'
import type { EngineLimits } from '../../src/engine/limits.ts'
import type { UserFacts } from '../../src/model/setting.ts'
import { codeOf } from './harness.ts'

const ada: UserFacts = { name: 'ada', passwordHash: 'aGFzaA==', hashing: 'scrypt', tags: ['management'] }
const home = { user: 'ada', vhost: '/' }

function create(limits: Partial<EngineLimits> = {}): { engine: Engine; facts: Definition[] } {
  const facts: Definition[] = []
  const journal = { ...silentJournal, defined: (fact: Definition) => void facts.push(fact) }
  const engine = new Engine({ journal, limits, name: () => 'name' })
  engine.declareVhost('/')
  engine.access.defineUser(ada)
  return { engine, facts }
}

function allow(engine: Engine, configure: string, write = configure, read = configure): void {
  engine.access.grant({ ...home, configure, write, read })
}

describe('permissions', () => {
  test('who was granted nothing may not enter, who was granted anything may', () => {
    const { engine } = create()
    assert.equal(engine.access.mayEnter(home), false)
    assert.equal(engine.access.allowed(home, 'read', 'q'), false)
    allow(engine, '')
    assert.equal(engine.access.mayEnter(home), true)
    assert.equal(engine.access.mayEnter({ user: 'ada', vhost: 'other' }), false)
  })

  test('each permission has its own pattern', () => {
    const { engine } = create()
    allow(engine, '^mine$', '^out', 'in$')
    assert.equal(engine.access.allowed(home, 'configure', 'mine'), true)
    assert.equal(engine.access.allowed(home, 'configure', 'mine too'), false)
    assert.equal(engine.access.allowed(home, 'write', 'outbox'), true)
    assert.equal(engine.access.allowed(home, 'write', 'about'), false)
    assert.equal(engine.access.allowed(home, 'read', 'admin'), true)
  })

  test('a pattern is found anywhere in a name, and the empty one in no name', () => {
    const { engine } = create()
    allow(engine, 'b', '', '.*')
    assert.equal(engine.access.allowed(home, 'configure', 'abc'), true)
    assert.equal(engine.access.allowed(home, 'write', 'abc'), false)
    assert.equal(engine.access.allowed(home, 'write', ''), false)
    assert.equal(engine.access.allowed(home, 'read', ''), true)
  })

  test('the default exchange is amq.default', () => {
    const { engine } = create()
    allow(engine, '^$', '^amq\\.default$')
    assert.equal(engine.access.allowed(home, 'write', ''), true)
    assert.equal(engine.access.allowed(home, 'configure', ''), false)
  })

  test('what changes is answered anew, and the version says that it may have changed', () => {
    const { engine } = create()
    allow(engine, '.*')
    const before = engine.access.version
    assert.equal(engine.access.allowed(home, 'read', 'q'), true)
    assert.equal(engine.access.version, before)
    allow(engine, '^x')
    assert.equal(engine.access.allowed(home, 'read', 'q'), false)
    assert.ok(engine.access.version > before)
    assert.equal(engine.access.revoke(home), true)
    assert.equal(engine.access.revoke(home), false)
    assert.equal(engine.access.mayEnter(home), false)
    assert.equal(engine.access.permission(home), undefined)
  })

  test('answers are remembered for a bounded number of names', () => {
    const { engine } = create()
    allow(engine, '7$')
    for (let round = 0; round < 2; round += 1) {
      for (let name = 0; name < 10_000; name += 1) {
        assert.equal(engine.access.allowed(home, 'read', String(name)), name % 10 === 7)
      }
    }
  })

  test('what cannot be granted is refused and changes nothing', () => {
    const { engine, facts } = create()
    const before = facts.length
    assert.equal(
      codeOf(() => allow(engine, '(')),
      'INVALID_ARGUMENT',
    )
    const all = { configure: '', write: '', read: '' }
    assert.equal(
      codeOf(() => engine.access.grant({ user: 'eve', vhost: '/', ...all })),
      'NOT_FOUND',
    )
    assert.equal(
      codeOf(() => engine.access.grant({ user: 'ada', vhost: 'x', ...all })),
      'NOT_FOUND',
    )
    assert.equal(
      codeOf(() => engine.access.defineUser({ ...ada, name: '' })),
      'INVALID_ARGUMENT',
    )
    assert.equal(facts.length, before)
    assert.deepEqual([...engine.access.permissions()], [])
  })
})

describe('topic permissions', () => {
  const topic = { exchange: 'logs', routingKey: 'ada.error' }

  test('without one every key is allowed, with one those that match', () => {
    const { engine } = create()
    assert.equal(engine.access.allowedTopic(home, 'write', topic), true)
    engine.access.grantTopic({ ...home, exchange: 'logs', write: '^ada\\.', read: '' })
    assert.equal(engine.access.allowedTopic(home, 'write', topic), true)
    assert.equal(engine.access.allowedTopic(home, 'read', topic), false)
    assert.equal(engine.access.allowedTopic(home, 'write', { ...topic, routingKey: 'bob.error' }), false)
    assert.equal(engine.access.allowedTopic(home, 'read', { ...topic, exchange: 'other' }), true)
    assert.equal(engine.access.revokeTopic({ ...home, exchange: 'logs' }), true)
    assert.equal(engine.access.revokeTopic({ ...home, exchange: 'logs' }), false)
    assert.equal(engine.access.allowedTopic(home, 'read', topic), true)
  })

  test('{username} and {vhost} stand for the user’s own, letter by letter', () => {
    const { engine } = create()
    engine.access.defineUser({ ...ada, name: 'a.b' })
    const own = '^{username}-{vhost}$'
    engine.access.grantTopic({ user: 'a.b', vhost: '/', exchange: 'logs', write: own, read: own })
    const write = (routingKey: string) =>
      engine.access.allowedTopic({ user: 'a.b', vhost: '/' }, 'write', { exchange: 'logs', routingKey })
    assert.equal(write('a.b-/'), true)
    assert.equal(write('axb-/'), false)
  })
})

describe('users', () => {
  test('a user who is deleted loses all that was granted, for good', () => {
    const { engine } = create()
    allow(engine, '.*')
    engine.access.grantTopic({ ...home, exchange: 'logs', write: '', read: '' })
    engine.operatorLimits.set({ scope: 'user', name: 'ada', limit: 'max-channels', value: 3 })
    assert.equal(engine.access.deleteUser('ada'), true)
    assert.equal(engine.access.deleteUser('ada'), false)
    engine.access.defineUser(ada)
    assert.equal(engine.access.mayEnter(home), false)
    assert.deepEqual([...engine.access.topicPermissions()], [])
    assert.equal(engine.operatorLimits.value('user', 'ada', 'max-channels'), Infinity)
  })

  test('users without a grant come and go, and a virtual host takes no one else’s grants along', () => {
    const { engine } = create()
    allow(engine, '.*')
    engine.access.defineUser({ ...ada, name: 'bob' })
    engine.declareVhost('other')
    engine.access.grant({ vhost: 'other', user: 'bob', configure: '', write: '', read: '' })
    engine.deleteVhost('other', 0)
    assert.equal(engine.access.mayEnter(home), true)
    assert.equal(engine.access.deleteUser('bob'), true)
    assert.deepEqual([...engine.access.users.keys()], ['ada'])
  })

  test('a user who is defined again keeps what was granted', () => {
    const { engine } = create()
    allow(engine, '.*')
    engine.access.defineUser({ ...ada, tags: ['administrator'] })
    assert.deepEqual(engine.access.users.get('ada')?.tags, ['administrator'])
    assert.equal(engine.access.mayEnter(home), true)
  })

  test('what was granted in a virtual host goes with it', () => {
    const { engine } = create()
    allow(engine, '.*')
    engine.deleteVhost('/', 0)
    engine.declareVhost('/')
    assert.equal(engine.access.mayEnter(home), false)
    allow(engine, '.*')
    assert.equal(engine.access.mayEnter(home), true)
  })

  test('more than the limits allow is refused', () => {
    const { engine } = create({ users: 2, permissions: 1 })
    engine.access.defineUser({ ...ada, name: 'bob' })
    engine.access.defineUser({ ...ada, name: 'bob' })
    assert.equal(
      codeOf(() => engine.access.defineUser({ ...ada, name: 'eve' })),
      'LIMIT_REACHED',
    )
    allow(engine, '.*')
    allow(engine, '^a')
    assert.equal(
      codeOf(() => engine.access.grant({ user: 'bob', vhost: '/', configure: '', write: '', read: '' })),
      'LIMIT_REACHED',
    )
    engine.access.revoke(home)
    engine.access.grant({ user: 'bob', vhost: '/', configure: '', write: '', read: '' })
  })
})
