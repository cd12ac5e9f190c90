/** `millrace/server`: the AMQP 0-9-1 broker inside your own process or test. */
export { startBroker } from './start-broker.ts'
export type { BrokerOptions, RunningBroker } from './start-broker.ts'
export { defaultServerLimits } from './limits.ts'
export type { ServerLimits } from './limits.ts'
export { createLog, silentLog } from './log.ts'
export type { Log, LogFields, LogLevel, LogOptions } from './log.ts'
