/** `amqp://` and `amqps://`: RabbitMQ, and what speaks like it. */
import type { ConnectionOptions } from 'node:tls'
import type { Driver } from '../../client/driver.ts'
import { AmqpDriver } from './driver.ts'
import { parseAmqpUrl } from './url.ts'

export interface AmqpOptions {
  /** The virtual host, instead of the URL's. It must exist. */
  readonly namespace?: string
  /** For `amqps://`, beside what the URL says: certificates, a key, a server name. */
  readonly tls?: ConnectionOptions
}

/**
 * @param url `amqp://user:password@host:port/vhost`, `amqps://…` with TLS. Settings: `?queues=classic` (default quorum, where
 *   the server has them), `heartbeat` (seconds), `connection_timeout` (ms), `max_message_size` (bytes), `name`; with TLS
 *   `cacertfile`, `certfile`, `keyfile`, `verify`, `server_name_indication`
 * @throws ValidationError INVALID_URL
 */
export function amqpDriver(url: string, options: AmqpOptions = {}): Driver {
  return new AmqpDriver(parseAmqpUrl(url, options))
}
