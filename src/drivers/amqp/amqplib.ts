/**
 * The seam to `amqplib`, the AMQP 0-9-1 client that this driver speaks through: an optional peer, loaded when the first
 * connection is opened. Nothing else here imports it.
 */
import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage, GetMessage, Options } from 'amqplib'
import { MillraceError } from '../../model/errors.ts'
import type { AmqpSettings } from './url.ts'

export type { Channel, ConfirmChannel, Options } from 'amqplib'
export type Connection = ChannelModel
/** A message as amqplib hands it over. */
export type Incoming = ConsumeMessage | GetMessage

type Library = Pick<typeof import('amqplib'), 'connect'>

/** @throws MillraceError MISSING_PACKAGE */
export async function loadAmqplib(load: () => Promise<unknown> = () => import('amqplib')): Promise<Library> {
  let loaded: unknown
  try {
    loaded = await load()
  } catch (error) {
    if (!isMissing(error)) throw error
    throw new MillraceError(
      'MISSING_PACKAGE',
      'amqp:// speaks through the package amqplib, which is not installed: npm install amqplib@^2.3.0',
      { cause: error },
    )
  }
  const library = loaded as { connect?: unknown; default?: { connect?: unknown } }
  return (library.connect === undefined ? library.default : library) as Library
}

/** One connection; rejects where it is refused or nobody answers. */
export async function dial(library: Library, settings: AmqpSettings): Promise<Connection> {
  return library.connect(
    {
      protocol: settings.tls === undefined ? 'amqp' : 'amqps',
      hostname: settings.hostname,
      port: settings.port,
      username: settings.username,
      password: settings.password,
      vhost: settings.vhost,
      heartbeat: settings.heartbeatSeconds,
      frameMax: 131_072,
    },
    {
      ...settings.tls,
      // Nagle's algorithm and delayed acknowledgement together cost 40 ms a message at low rates.
      noDelay: true,
      timeout: settings.connectTimeoutMs,
      clientProperties: { connection_name: settings.connectionName },
    },
  )
}

/** What the server says of itself. */
export function serverProperties(connection: Connection): Readonly<Record<string, unknown>> {
  return { ...connection.connection.serverProperties }
}

/** Ends the socket at once: a frozen peer answers no close, and what was only ended stays until it does. */
export function destroySocket(connection: Connection): void {
  const { stream } = connection.connection as unknown as { stream?: { destroy(): void } }
  stream?.destroy()
}

/**
 * A new channel. Whatever ends it is told once: with the server's reason, or undefined where the connection ended or we
 * closed it.
 */
export async function openChannel(
  connection: Connection,
  onClosed: (cause: Error | undefined) => void,
): Promise<Channel> {
  return watched(await connection.createChannel(), onClosed)
}

/** As `openChannel`; what is published on it is confirmed. */
export async function openConfirmChannel(
  connection: Connection,
  onClosed: (cause: Error | undefined) => void,
): Promise<ConfirmChannel> {
  return watched(await connection.createConfirmChannel(), onClosed)
}

export type PublishFields = Options.Publish

function watched<C extends Channel>(channel: C, onClosed: (cause: Error | undefined) => void): C {
  let cause: Error | undefined
  channel.on('error', (error: Error) => (cause = error))
  channel.on('close', () => onClosed(cause))
  return channel
}

function isMissing(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  return (
    (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND') &&
    error.message.includes('amqplib')
  )
}
