/** `millrace serve`: the broker as a process of its own. */
import { Option } from 'commander'
import type { Command } from 'commander'
import { createLog, logLevels } from '../../server/log.ts'
import type { Log } from '../../server/log.ts'
import type { RunningBroker } from '../../server/start-broker.ts'
import { integer } from '../arguments.ts'
import { exitCode } from '../exit-code.ts'
import { assertNoEngine } from '../folder.ts'
import type { Host, SharedOptions } from '../host.ts'
import { defaultFolder, serveSettings } from '../serve-options.ts'
import type { ServeFlags, ServeSettings } from '../serve-options.ts'
import { version } from '../version.ts'

const help = `
The first start makes the user guest with the password guest, who may come from this machine only.
SIGTERM and SIGINT end it with code 0: clients are told (320), what is unacknowledged stays.

Examples:
  $ millrace serve --data ./data
  $ millrace add_user app --data ./data && millrace serve --data ./data --host 0.0.0.0
  $ millrace serve --tls-cert cert.pem --tls-key key.pem --port 5671
`

export function addServe(program: Command, host: Host): void {
  program
    .command('serve')
    .description('Run the broker: AMQP 0-9-1 for every RabbitMQ client')
    .option('--data <folder>', `where messages are kept (default: ${defaultFolder})`)
    .option('--memory', 'keep nothing on disk')
    .option('--host <address>', 'the address to listen on (default: 127.0.0.1)')
    .option(
      '--port <number>',
      'the port; 0 for any free one (default: 5672, with TLS 5671)',
      integer(0, 65_535),
    )
    .option('--socket <path>', 'a UNIX socket to listen on too')
    .option('--ws-port <number>', 'AMQP over WebSocket on this port too', integer(0, 65_535))
    .option('--ws-origin <origin...>', 'web pages that may use it, e.g. https://example.org (default: none)')
    .option('--tls-cert <file>', 'serve TLS with this certificate (PEM)')
    .option('--tls-key <file>', 'its private key (PEM)')
    .option('--tls-ca <file>', "who signs clients' certificates: with it they can log in by them (EXTERNAL)")
    .option('--proxy-protocol', 'a load balancer in front says who connects (PROXY v1 or v2)')
    .option('--config <file>', 'JSON with the same settings, and limits')
    .addOption(new Option('--log-format <format>', 'for people or machines').choices(['text', 'json']))
    .addOption(new Option('--log-level <level>', 'the least that is told').choices([...logLevels]))
    .addHelpText('after', help)
    .action(async (_local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<SharedOptions & ServeFlags>()
      await host.run(flags, async () => {
        assertNoEngine(flags, '--data FOLDER')
        return serve(host, serveSettings(flags))
      })
    })
}

async function serve(host: Host, settings: ServeSettings): Promise<number> {
  const { terminal } = host
  const { interrupted } = terminal
  const log = createLog({
    format: settings.logFormat,
    level: settings.logLevel,
    write: (line) => terminal.writeNote(line),
  })
  const broker = await start(settings, log)
  tell(broker, settings, log)
  try {
    const failure = await Promise.race([broker.failed, aborted(interrupted)])
    if (failure === undefined) log.info('stopping', { connections: broker.server.connections.size })
    return failure === undefined ? exitCode.ok : exitCode.failure
  } finally {
    await broker.close()
    log.info('stopped')
  }
}

async function start(settings: ServeSettings, log: Log): Promise<RunningBroker> {
  // Loaded here, so that the other commands start without it.
  const { startBroker } = await import('../../server/start-broker.ts')
  const { data, host, port, socket, wsPort, wsOrigin, tls, proxyProtocol, limits } = settings
  return startBroker({
    host,
    log,
    limits,
    proxyProtocol,
    ...(data !== undefined && { data }),
    ...(port !== undefined && { port }),
    ...(socket !== undefined && { socketPath: socket }),
    ...(wsPort !== undefined && { webSocketPort: wsPort }),
    ...(wsOrigin !== undefined && { webSocketOrigins: wsOrigin }),
    ...(tls !== undefined && { tls: tlsOptions(tls) }),
  })
}

/** A client without a certificate may still log in with a password. */
function tlsOptions({ cert, key, ca }: NonNullable<ServeSettings['tls']>) {
  return { cert, key, ...(ca !== undefined && { ca, requestCert: true, rejectUnauthorized: false }) }
}

function tell(broker: RunningBroker, settings: ServeSettings, log: Log): void {
  for (const warning of broker.warnings) log.warn(warning)
  broker.broker.events.on('warning', (message) => log.warn(message))
  broker.broker.events.on('blocked', (reason) => log.warn('publishers wait', { reason }))
  broker.broker.events.on('unblocked', () => log.info('publishers go on'))
  if (settings.data === undefined) log.warn('nothing is kept on disk')
  log.info('listening', {
    url: `${settings.tls === undefined ? 'amqp' : 'amqps'}://${broker.host}:${broker.port}`,
    socket: settings.socket,
    webSocket: broker.webSocketUrl,
    data: settings.data,
    version,
    pid: process.pid,
  })
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}
