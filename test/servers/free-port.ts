/**
 * A TCP port of this machine that nobody listens on, and that the system gives to nobody who asks for any port: a server that is
 * away for a while finds it free when it comes back, however many sockets others open meanwhile.
 */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

const lowest = 10_000
/** From here on Linux takes those that it gives away by itself; macOS and Windows take higher ones. */
const end = 32_768

/** Of this process; their servers may not listen yet. */
const given = new Set<number>()

export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(lowest, end)
    if (given.has(port)) continue
    given.add(port)
    if (await isFree(port)) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
  } catch {
    return false
  }
  server.close()
  await once(server, 'close')
  return true
}
