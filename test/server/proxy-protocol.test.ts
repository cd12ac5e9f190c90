/** The headers of load balancers, in every state of completeness. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readProxyHeader } from '../../src/server/proxy-protocol.ts'

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

function version2(command: number, family: number, payload: readonly number[]): Buffer {
  return Buffer.concat([signature, Buffer.from([command, family, 0, payload.length, ...payload])])
}

const four = [192, 0, 2, 7, 192, 0, 2, 1, 0x12, 0x67, 0x16, 0x28]
const sixteen = [...Array<number>(15).fill(0), 1]
const six = [...sixteen, ...sixteen, 0x12, 0x67, 0x16, 0x28]

const sound = [
  [Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 4711 5672\r\n'), { address: '192.0.2.7', port: 4711 }],
  [Buffer.from('PROXY TCP6 2001:db8::7 2001:db8::1 4711 5672\r\n'), { address: '2001:db8::7', port: 4711 }],
  [Buffer.from('PROXY UNKNOWN\r\n'), undefined],
  [version2(0x21, 0x11, four), { address: '192.0.2.7', port: 4711 }],
  [version2(0x21, 0x11, [...four, 4, 0, 1, 9]), { address: '192.0.2.7', port: 4711 }],
  [version2(0x21, 0x21, six), { address: '0:0:0:0:0:0:0:1', port: 4711 }],
  [version2(0x20, 0x00, []), undefined],
  [version2(0x21, 0x31, [1, 2, 3]), undefined],
] as const

test('a header is read when it is there in full, and says how long it is', () => {
  for (const [bytes, source] of sound) {
    const followed = Buffer.concat([bytes, Buffer.from('AMQP\0\0\x09\x01', 'latin1')])
    assert.deepEqual(readProxyHeader(followed), { length: bytes.length, source })
    for (let length = 0; length < bytes.length; length += 1) {
      assert.equal(
        readProxyHeader(bytes.subarray(0, length)),
        undefined,
        `${length} of ${bytes.length} bytes`,
      )
    }
  }
})

test('what is none is told from the first byte that is wrong, and nothing is waited for without end', () => {
  for (const bytes of [
    Buffer.from('AMQP\0\0\x09\x01', 'latin1'),
    Buffer.from('PROXY TCP4 192.0.2.7\r\n'),
    Buffer.from('PROXY TCP4 2001:db8::7 2001:db8::1 4711 5672\r\n'),
    Buffer.from(`PROXY TCP4 ${'1'.repeat(200)}`),
    version2(0x31, 0x11, four),
    version2(0x22, 0x11, four),
    Buffer.concat([signature, Buffer.from([0x21, 0x11, 0xff, 0xff])]),
  ]) {
    assert.equal(readProxyHeader(bytes), 'malformed', bytes.toString('latin1'))
  }
})
