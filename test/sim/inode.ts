/** A file of the simulated disk: what is in it, what of that is synced, and every write since. */
import type { Random } from '../std/random.ts'

const sectorBytes = 512

type Write =
  | { readonly type: 'write'; readonly position: number; readonly bytes: Buffer }
  | { readonly type: 'truncate'; readonly size: number }

export class Inode {
  live: Buffer = Buffer.alloc(0)
  synced: Buffer = Buffer.alloc(0)
  /** How many writes there were. */
  writes = 0
  #unsynced: Write[] = []

  apply(write: Write): void {
    this.live = applied(this.live, write)
    this.#unsynced.push(write)
    this.writes += 1
  }

  /** Makes the first so many writes durable, and no later one. */
  sync(writes = this.writes): void {
    const later = this.writes - writes
    const synced = this.#unsynced.splice(0, Math.max(0, this.#unsynced.length - later))
    if (this.#unsynced.length === 0) this.synced = Buffer.from(this.live)
    else for (const write of synced) this.synced = applied(this.synced, write)
  }

  /** What is left of it after a crash: each write that was not synced is there, not there or torn. */
  remains(kind: 'nothing' | 'chance', random: Random): Buffer {
    let content: Buffer = Buffer.from(this.synced)
    if (kind === 'nothing') return content
    for (const write of this.#unsynced) {
      const fate = random.below(4)
      if (fate === 0) continue
      if (fate === 1 || write.type === 'truncate') content = applied(content, write)
      else if (fate === 2) content = applied(content, prefixOf(write, random))
      else for (const part of sectorsOf(write)) if (random.below(2) === 0) content = applied(content, part)
    }
    return content
  }
}

function applied(content: Buffer, write: Write): Buffer {
  if (write.type === 'truncate') {
    if (write.size <= content.length) return Buffer.from(content.subarray(0, write.size))
    return Buffer.concat([content, Buffer.alloc(write.size - content.length)])
  }
  const end = write.position + write.bytes.length
  const next =
    end > content.length ? Buffer.concat([content, Buffer.alloc(end - content.length)]) : Buffer.from(content)
  write.bytes.copy(next, write.position)
  return next
}

type Bytes = Extract<Write, { type: 'write' }>

/** The first part, cut at a sector or anywhere. */
function prefixOf(write: Bytes, random: Random): Bytes {
  const cut = random.below(write.bytes.length + 1)
  const length = random.below(2) === 0 ? cut : Math.floor(cut / sectorBytes) * sectorBytes
  return { ...write, bytes: write.bytes.subarray(0, length) }
}

function sectorsOf(write: Bytes): Bytes[] {
  const parts: Bytes[] = []
  let start = 0
  while (start < write.bytes.length) {
    const toSectorEnd = sectorBytes - ((write.position + start) % sectorBytes)
    const end = Math.min(write.bytes.length, start + toSectorEnd)
    parts.push({ type: 'write', position: write.position + start, bytes: write.bytes.subarray(start, end) })
    start = end
  }
  return parts
}
