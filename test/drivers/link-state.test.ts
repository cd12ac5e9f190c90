/** The life of a connection: every event in every state, and the waits between tries. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firstLinkState, nextLinkState, reconnectDelayMs } from '../../src/drivers/link-state.ts'
import type { LinkEvent, LinkState } from '../../src/drivers/link-state.ts'

const cause = new Error('cut')
const failed: LinkEvent = { type: 'failed', cause }

function after(...events: readonly (LinkEvent | Exclude<LinkEvent['type'], 'failed'>)[]): LinkState {
  return events.reduce<LinkState>(
    (state, event) => nextLinkState(state, typeof event === 'string' ? { type: event } : event),
    firstLinkState,
  )
}

test('it connects, restores what it carried, and is up', () => {
  assert.equal(after().type, 'connecting')
  assert.equal(after('connected').type, 'restoring')
  assert.equal(after('connected', 'restored').type, 'up')
})

test('whatever fails, it waits and connects again', () => {
  for (const state of [after(failed), after('connected', failed), after('connected', 'restored', failed)]) {
    assert.deepEqual(state, { type: 'waiting', failures: 1, cause })
    assert.equal(nextLinkState(state, { type: 'due' }).type, 'connecting')
  }
})

test('failures in a row are counted until it has been up for a while', () => {
  const up = after(failed, 'due', failed, 'due', 'connected', 'restored')
  assert.deepEqual(up, { type: 'up', failures: 2 })
  assert.deepEqual(nextLinkState(up, failed), { type: 'waiting', failures: 3, cause })
  const steady = nextLinkState(up, { type: 'steady' })
  assert.deepEqual(nextLinkState(steady, failed), { type: 'waiting', failures: 1, cause })
})

test('a second loss of the same connection counts once', () => {
  assert.deepEqual(after('connected', 'restored', failed, failed), { type: 'waiting', failures: 1, cause })
})

test('an event that comes late changes nothing', () => {
  const late: readonly (readonly [LinkState, LinkEvent['type']])[] = [
    [after(failed), 'connected'],
    [after(failed), 'restored'],
    [after('connected', failed), 'restored'],
    [after('connected', 'restored', failed), 'steady'],
    [after('connected', 'restored'), 'due'],
    [after('connected', 'restored'), 'connected'],
  ]
  for (const [state, type] of late) {
    assert.deepEqual(nextLinkState(state, { type } as LinkEvent), state, `${type} while ${state.type}`)
  }
})

test('closed is for good', () => {
  for (const state of [after(), after('connected'), after('connected', 'restored'), after(failed)]) {
    const closed = nextLinkState(state, { type: 'close' })
    assert.deepEqual(closed, { type: 'closed' })
    for (const type of ['connected', 'restored', 'steady', 'due', 'close'] as const) {
      assert.deepEqual(nextLinkState(closed, { type }), closed)
    }
    assert.deepEqual(nextLinkState(closed, failed), closed)
  }
})

test('waits double up to ten seconds, spread by a fifth', () => {
  const middle = [1, 2, 3, 7, 8, 100].map((failures) => reconnectDelayMs(failures, 0.5))
  assert.deepEqual(middle, [100, 200, 400, 6_400, 10_000, 10_000])
  assert.deepEqual([reconnectDelayMs(1, 0), reconnectDelayMs(1, 1)], [80, 120])
})
