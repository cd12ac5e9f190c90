/** What the server unpacks is what was packed; read here as MessagePack's specification has it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maximumPackBytes, maximumPackMessages, Packer } from '../../../src/drivers/redis/packer.ts'
import type { Pack } from '../../../src/drivers/redis/packer.ts'

/** A message's content, or its options and content. */
type Packed = string | readonly [options: string, content: string]

test('a message without options is its envelope, a line feed and its body, as text or as bytes', () => {
  const packer = new Packer()
  packer.add('', '{"id":"ä"}', 'grüße €')
  packer.add('', '{}', Buffer.from('raw'))
  packer.add('', '{}', '')
  assert.deepEqual(unpack(packer.packs()), ['{"id":"ä"}\ngrüße €', '{}\nraw', '{}\n'])
})

test('options make a pair', () => {
  const packer = new Packer()
  packer.add('0  100 0 0 0\n1', '{}', 'late')
  packer.add('', '{}', 'now')
  assert.deepEqual(unpack(packer.packs()), [['0  100 0 0 0\n1', '{}\nlate'], '{}\nnow'])
})

test('no pack holds more messages or bytes than the server takes at once, but for one that is larger by itself', () => {
  const packer = new Packer()
  for (let count = 0; count < maximumPackMessages + 1; count++) packer.add('', '{}', String(count))
  const large = Buffer.alloc(maximumPackBytes * 0.6, 'x')
  for (let count = 0; count < 2; count++) packer.add('', '{}', large)
  packer.add('', '{}', Buffer.alloc(2 * maximumPackBytes, 'y'))
  const packs = packer.packs()
  assert.deepEqual(
    packs.map(({ count }) => count),
    [maximumPackMessages, 2, 1, 1],
  )
  assert.equal(unpack(packs).length, maximumPackMessages + 4)
  for (const { bytes, count } of packs) assert.ok(count === 1 || bytes.length <= maximumPackBytes)
})

test('a buffer that is used again does not change what was packed before', () => {
  const first = new Packer()
  first.add('', '{}', 'first')
  const packs = first.packs()
  const second = new Packer()
  second.add('', '{}', 'other')
  second.packs()
  assert.deepEqual(unpack(packs), ['{}\nfirst'])
})

function unpack(packs: readonly Pack[]): Packed[] {
  return packs.flatMap(({ bytes, count }) => {
    let at = 5
    const text = (): string => {
      assert.equal(bytes[at], 0xdb)
      const from = at + 5
      at = from + bytes.readUInt32BE(at + 1)
      return bytes.toString('utf8', from, at)
    }
    assert.equal(bytes[0], 0xdd)
    assert.equal(bytes.readUInt32BE(1), count)
    const messages: Packed[] = []
    for (let index = 0; index < count; index++) {
      if (bytes[at] === 0x92) {
        at += 1
        messages.push([text(), text()])
      } else messages.push(text())
    }
    assert.equal(at, bytes.length, 'nothing is left over')
    return messages
  })
}
