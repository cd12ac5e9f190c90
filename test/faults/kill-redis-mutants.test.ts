/** The kill program itself: what breaks a promise is found out. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, test } from 'node:test'
import { findRedis } from '../servers/redis.ts'
import { killRedisOverAndOver } from './kill-redis.ts'
import type { RedisKillOptions } from './kill-redis.ts'

const { skip } = await findRedis()
const entry = resolve(import.meta.dirname, '../../src/index.ts')

interface Mutant {
  readonly lie: string
  readonly options: Partial<RedisKillOptions>
  /** What is said of it. */
  readonly noticed: RegExp
}

const mutants: readonly Mutant[] = [
  {
    lie: 'the server keeps nothing',
    // Where all is consumed at once there may be nothing to lose at the moment.
    options: { sync: 'none', harms: ['server'], consumes: false },
    noticed: /was confirmed, its end was never asked for, and it is gone/,
  },
  {
    lie: 'a message is confirmed before the server has it',
    options: { lie: 'early', harms: ['both'], rounds: 3 },
    noticed: /was confirmed, its end was never asked for, and it is gone/,
  },
  {
    lie: 'whoever settles is believed, whatever became of its lease',
    options: {
      harms: ['stall'],
      rounds: 3,
      spoil: (library) =>
        library
          .replace("if not deadline then return { 'lost' } end", '')
          .replace("entries[1]) == 0 then return '0' end", 'entries[1]) == 0 then end')
          .replace(
            "local held = list_many('SMISMEMBER', held_key(queue, consumer), entries)",
            'local held = {} for index = 1, #entries do held[index] = 1 end',
          ),
    },
    noticed: /was ended twice|was delivered again|is gone|could not be drained/,
  },
]

describe('a Redis or driver that breaks a promise is found out', { skip }, () => {
  for (const { lie, options, noticed } of mutants) {
    test(lie, async () => {
      const { broken } = await killRedisOverAndOver({ rounds: 1, seed: 1, entry, ...options })
      const kept = broken.find((line) => line.startsWith('kept: '))
      if (kept !== undefined) rmSync(kept.slice('kept: '.length), { recursive: true, force: true })
      assert.ok(
        broken.some((line) => noticed.test(line)),
        `it did not notice; it said: ${broken.join('\n')}`,
      )
    })
  }
})
