/**
 * The keys of `redis://` as they are at one moment, and what is wrong with them: a message that is in no place of its queue or
 * in two, a count that does not add up, something that would stay for ever.
 */
import type { RedisServer } from '../servers/redis.ts'

/** Of one key: its name, type, ms it has left (-1: for ever), and content as the server lists it. */
type Key = readonly [name: string, type: string, leftMs: number, content: readonly string[]]

const snapshot = `
  local read = {
    hash = function(key) return redis.call('HGETALL', key) end,
    list = function(key) return redis.call('LRANGE', key, 0, -1) end,
    set = function(key) return redis.call('SMEMBERS', key) end,
    zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
    string = function(key) return { redis.call('GET', key) } end,
  }
  local all = {}
  for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
    local kind = redis.call('TYPE', key).ok
    all[#all + 1] = { key, kind, redis.call('PTTL', key), read[kind](key) }
  end
  return all`

/** What is wrong, in words; nothing where all is well. @param prefix of the keys */
export async function brokenKeys(server: RedisServer, prefix = 'mq'): Promise<readonly string[]> {
  const keys = (await server.command('EVAL', snapshot, '0', `${prefix}:{*`)) as readonly Key[]
  const queues = new Map<string, QueueKeys>()
  for (const [name, type, leftMs, content] of keys) {
    const end = name.indexOf('}') + 1
    const base = name.slice(0, end)
    const queue = queues.get(base) ?? new QueueKeys(base)
    queues.set(base, queue)
    queue.add(name.slice(end + 1), { type, leftMs, content })
  }
  return [...queues.values()].flatMap((queue) => queue.broken())
}

interface Content {
  readonly type: string
  readonly leftMs: number
  readonly content: readonly string[]
}

/** Keys that there are one of, and those that there may be many of, by the first word of their names. */
const single = [
  '',
  'messages',
  'lanes',
  'delayed',
  'attempts',
  'consumers',
  'waiting',
  'resting',
  'ranks',
  'ranked',
  'wanting',
  'owners',
  'owned',
  'aside',
  'out',
  'transfers',
]
const many = ['ready', 'returned', 'held', 'parked', 'dedupe', 'requests']
/** What nobody deletes has to end by itself. */
const fleeting = ['dedupe', 'requests']

class QueueKeys {
  readonly #base: string
  readonly #keys = new Map<string, Content>()

  constructor(base: string) {
    this.#base = base
  }

  add(name: string, content: Content): void {
    this.#keys.set(name, content)
  }

  broken(): string[] {
    const all = [
      ...this.#misplaced(),
      ...this.#unknown(),
      ...this.#ownership(),
      ...this.#companions(),
      ...this.#sums(),
    ]
    return all.map((line) => `${this.#base}: ${line}`)
  }

  /** Every message is in exactly one place, and every place holds messages that there are. */
  *#misplaced(): Iterable<string> {
    const messages = new Set(this.#hash('messages').keys())
    const places = new Map<string, string>()
    for (const [place, entries] of this.#places()) {
      for (const entry of entries) {
        const id = idOf(entry)
        if (!messages.has(id)) yield `${id} is in ${place} and has no record`
        const other = places.get(id)
        if (other !== undefined) yield `${id} is in ${place} and in ${other}`
        places.set(id, place)
      }
    }
    for (const id of messages) if (!places.has(id)) yield `${id} has a record and no place`
  }

  *#places(): Iterable<readonly [string, readonly string[]]> {
    for (const [name, { type, content }] of this.#keys) {
      const [kind] = name.split(':')
      if (kind === 'ready' || kind === 'held' || kind === 'parked') yield [name, content]
      if (kind === 'returned' || kind === 'delayed' || kind === 'out') yield [name, members(type, content)]
    }
  }

  *#unknown(): Iterable<string> {
    for (const [name, { leftMs }] of this.#keys) {
      const [kind = ''] = name.split(':')
      if (!single.includes(name) && !many.includes(kind)) yield `there is a key ${name}`
      if (fleeting.includes(kind) && leftMs < 0) yield `${name} stays for ever`
    }
  }

  *#ownership(): Iterable<string> {
    const owners = this.#hash('owners')
    const owned = this.#hash('owned')
    for (const [key, id] of owners) if (owned.get(id) !== key) yield `key ${key} is ${id}'s, who has another`
    for (const [id, key] of owned)
      if (owners.get(key) !== id) yield `${id} has key ${key}, which is another's`
    const aside = new Set(this.#members('aside'))
    let parked = 0
    for (const [name, { content }] of this.#keys) {
      if (!name.startsWith('parked:')) continue
      parked += content.length
      if (!owners.has(name.slice('parked:'.length))) yield `${name} waits for nobody`
      for (const entry of content) {
        if (!aside.has(entry)) yield `${entry} is in ${name} and not aside`
        if (owned.has(idOf(entry))) yield `${entry} waits for a key that it has`
      }
    }
    if (aside.size !== parked) yield `${aside.size} are aside and ${parked} parked`
  }

  /** What belongs to a message or a consumer goes with it. */
  *#companions(): Iterable<string> {
    const messages = this.#hash('messages')
    for (const name of ['attempts', 'owned', 'transfers']) {
      for (const id of this.#hash(name).keys()) {
        if (!messages.has(id)) yield `${name} knows ${id}, who is gone`
      }
    }
    const out = this.#members('out')
    const transfers = this.#hash('transfers')
    if (out.length !== transfers.size) yield `${out.length} are out, of ${transfers.size} transfers`
    for (const id of out) if (!transfers.has(id)) yield `${id} is out and nobody knows where to`
    const consumers = new Set(this.#members('consumers'))
    for (const name of ['waiting', 'resting', 'ranked', 'wanting']) {
      for (const consumer of this.#members(name)) {
        if (!consumers.has(consumer)) yield `${name} knows ${consumer}, who is gone`
      }
    }
    for (const consumer of this.#hash('ranks').keys()) {
      if (!consumers.has(consumer)) yield `ranks knows ${consumer}, who is gone`
    }
    for (const name of this.#keys.keys()) {
      if (name.startsWith('held:') && !consumers.has(name.slice(5))) yield `${name} is held by nobody`
    }
    const lanes = new Set(this.#members('lanes'))
    for (const name of this.#keys.keys()) {
      const lane = /^(?:ready|returned):(\d+)$/.exec(name)?.[1]
      if (lane === undefined || this.#figure('priorities') === 0) continue
      if (!lanes.has(lane)) yield `${name} holds something, and lanes does not know`
    }
  }

  *#sums(): Iterable<string> {
    if (!this.#keys.has('')) return
    const transfers = [...this.#hash('transfers').values()].map((text) => JSON.parse(text) as Transfer)
    // Counted when they expired, though they are still there.
    const expired = transfers.filter(({ reason }) => reason === 'expired').length
    const left = this.#hash('messages').size - expired
    const gone = ['acked', 'deadLettered', 'expired', 'dropped'].reduce(
      (sum, name) => sum + this.#figure(name),
      0,
    )
    const published = this.#figure('published')
    if (published !== left + gone) yield `${published} were published, ${left} are left and ${gone} gone`
    if (this.#hash('').has('maxBytes')) yield* this.#bytes()
  }

  *#bytes(): Iterable<string> {
    const messages = this.#hash('messages')
    let bytes = 0
    for (const [place, entries] of this.#places()) {
      if (!/^(?:ready|returned|parked):/.test(place)) continue
      for (const entry of entries) bytes += bodyBytes(messages.get(idOf(entry)) ?? '')
    }
    const counted = this.#figure('readyBytes')
    if (bytes !== counted) yield `${bytes} bytes are ready and ${counted} counted`
  }

  #hash(name: string): ReadonlyMap<string, string> {
    const { content = [] } = this.#keys.get(name) ?? {}
    const map = new Map<string, string>()
    for (let index = 0; index < content.length; index += 2)
      map.set(content[index] ?? '', content[index + 1] ?? '')
    return map
  }

  #members(name: string): readonly string[] {
    const key = this.#keys.get(name)
    return key === undefined ? [] : members(key.type, key.content)
  }

  #figure(name: string): number {
    return Number(this.#hash('').get(name) ?? 0)
  }
}

interface Transfer {
  readonly reason?: string
}

/** Of a sorted set, without the scores. */
function members(type: string, content: readonly string[]): readonly string[] {
  return type === 'zset' ? content.filter((_, index) => index % 2 === 0) : content
}

function idOf(entry: string): string {
  return entry.slice(entry.indexOf(':') + 1)
}

function bodyBytes(record: string): number {
  const lineEnd = record.indexOf('\n')
  const keyBytes = Number(record.slice(0, lineEnd).split(' ')[3])
  const bytes = Buffer.from(record)
  const envelopeEnd = bytes.indexOf('\n', lineEnd + 1 + keyBytes)
  return bytes.length - envelopeEnd - 1
}
