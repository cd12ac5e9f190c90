/**
 * The bare lists of Redis: LPUSH, and to work RPOPLPUSH and LREM. Each command is awaited, and all of a turn go in one write;
 * the client is no more than that, for a general one took most of the time. No leases, attempts, delays, or waking; a
 * worker that finds nothing asks again.
 */
import { connect } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'

export async function rawRedis({ url }) {
  const client = await openClient(url)
  const push = (data) => client.command('LPUSH', 'bench', data)
  return {
    send: push,
    sendMany: (list) => Promise.all(list.map(push)),
    async work({ concurrency, handle }) {
      let goesOn = true
      const lane = async () => {
        while (goesOn) {
          const data = await client.command('RPOPLPUSH', 'bench', 'bench:held')
          if (data === null) {
            await turn()
            continue
          }
          handle(data)
          await client.command('LREM', 'bench:held', '1', data)
        }
      }
      const lanes = Promise.all(Array.from({ length: concurrency }, lane))
      return async () => {
        goesOn = false
        await lanes
      }
    },
    close: async () => client.end(),
  }
}

/** Of ASCII text alone. */
async function openClient(url) {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  const waiting = []
  let answered = 0
  let output = ''
  let input = ''
  const flush = () => {
    socket.write(output, 'latin1')
    output = ''
  }
  socket.on('data', (chunk) => {
    input += chunk.latin1Slice()
    let from = 0
    for (;;) {
      const lineEnd = input.indexOf('\r\n', from)
      if (lineEnd < 0) break
      let reply = input.slice(from + 1, lineEnd)
      let end = lineEnd + 2
      if (input[from] === '$') {
        const length = Number(reply)
        if (length < 0) reply = null
        else {
          if (input.length < end + length + 2) break
          reply = input.slice(end, end + length)
          end += length + 2
        }
      }
      from = end
      waiting[answered++](reply)
    }
    input = input.slice(from)
    waiting.splice(0, answered)
    answered = 0
  })
  return {
    command: (...words) =>
      new Promise((resolve) => {
        waiting.push(resolve)
        if (output === '') setImmediate(flush)
        let text = `*${words.length}\r\n`
        for (const word of words) text += `$${word.length}\r\n${word}\r\n`
        output += text
      }),
    end: () => socket.destroy(),
  }
}
