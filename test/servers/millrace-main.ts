/**
 * Millrace's broker as a process of its own, put together as `startBroker` does it. It does what its parent asks
 * over the channel between them.
 */
import { randomUUID } from 'node:crypto'
import { Broker } from '../../src/broker/broker.ts'
import { Listener } from '../../src/server/listener.ts'
import { Server } from '../../src/server/server.ts'
import { brokerAuthenticator, ensureGuest } from '../../src/server/users.ts'
import { version } from '../../src/server/version.ts'
import { NodeDisk } from '../../src/store/node-disk.ts'
import { Store } from '../../src/store/store.ts'
import type { Command } from './millrace.ts'

const [folder = '', port = '0'] = process.argv.slice(2)
const everything = { configure: '.*', write: '.*', read: '.*' }
const broker = new Broker({ newName: randomUUID, storage: await Store.open(new NodeDisk(folder), {}) })
broker.ensureVhost('/')
ensureGuest(broker, { all: ['/'], made: [] })
await broker.whenDurable()
const server = new Server({ broker, authenticator: brokerAuthenticator(broker), version })
const listener = await Listener.open(server, { host: '127.0.0.1', port: Number(port), proxyProtocol: false })

async function obey(command: Command): Promise<unknown> {
  switch (command.do) {
    case 'addVhost':
      broker.ensureVhost(command.vhost)
      broker.engine.access.grant({ user: 'guest', vhost: command.vhost, ...everything })
      return broker.whenDurable()
    case 'deleteVhost':
      broker.engine.deleteVhost(command.vhost, broker.nowMs())
      return broker.whenDurable()
    case 'queueNames':
      return [...(broker.engine.vhosts.get(command.vhost)?.queues.keys() ?? [])]
  }
}

async function end(): Promise<void> {
  await server.close()
  await broker.close()
  process.exit(0)
}

process.on('message', (message: { id: number; command: Command }) => {
  const answer = (reply: object): void => void process.send?.({ id: message.id, ...reply })
  obey(message.command).then(
    (value) => answer({ value }),
    (error: unknown) => answer({ error: String(error) }),
  )
})
process.on('disconnect', () => process.exit(1))
process.on('SIGTERM', () => void end())
process.send?.({ ready: listener.port })
