/** The proxy of the tests: passes everything on, until it is told not to. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Proxy } from './proxy.ts'

/** An echo server, a proxy before it, a client through the proxy and what the client heard. */
async function withEcho(
  run: (echo: { proxy: Proxy; dial: () => Promise<Socket> }) => Promise<void>,
): Promise<void> {
  const server = createServer((socket) => socket.on('error', () => undefined).pipe(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await Proxy.start({ port: (server.address() as AddressInfo).port })
  const sockets: Socket[] = []
  const dial = async (): Promise<Socket> => {
    const socket = connect(proxy.port, '127.0.0.1').on('error', () => undefined)
    sockets.push(socket)
    await once(socket, 'connect')
    return socket
  }
  try {
    await run({ proxy, dial })
  } finally {
    for (const socket of sockets) socket.destroy()
    await proxy.close()
    server.close()
  }
}

test('it passes data and ends both ways', () =>
  withEcho(async ({ dial }) => {
    const socket = await dial()
    socket.end('hello')
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    assert.equal(String(chunk), 'hello')
    await once(socket, 'end')
  }))

test('what is cut is reset, and so is who comes, until it is healed', () =>
  withEcho(async ({ proxy, dial }) => {
    const socket = await dial()
    const closed = ended(socket)
    proxy.cut()
    await closed
    await dial().then(ended, () => undefined)
    proxy.heal()
    const again = await dial()
    again.write('x')
    await once(again, 'data')
  }))

test('what is frozen hears nothing, and all of it when it is healed', () =>
  withEcho(async ({ proxy, dial }) => {
    const socket = await dial()
    socket.write('before ')
    await once(socket, 'data')
    let heard = ''
    socket.on('data', (chunk) => (heard += String(chunk)))
    proxy.freeze()
    socket.write('during')
    await delay(50)
    assert.equal(heard, '')
    assert.equal(proxy.connections, 1)
    const flowing = once(socket, 'data')
    proxy.heal()
    await flowing
    assert.equal(heard, 'during')
  }))

/** Its end, by whatever cause. */
function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()))
}
