/** The broker's limits, by name, with their defaults. */
export interface BrokerLimits {
  /** A message's body, in bytes (RabbitMQ's default largest message is 128 MiB, 16 MiB from 4.0 on). */
  readonly maximumBodyBytes: number
  /** A message's encoded properties, headers included, in bytes: half of an AMQP frame. */
  readonly maximumHeaderBytes: number
  /** What messages take in memory over all queues (bodies, properties, and what keeps them); above it publishers wait. */
  readonly memoryBytes: number
  /** Bytes gathered for the disk and not yet written; above it publishers wait. */
  readonly unwrittenBytes: number
  /** Deliveries before everything else has its turn (timers, input, output). */
  readonly deliveriesPerTurn: number
  /** How far below a mark the figure must fall before publishers go on, as a part of it. */
  readonly resumeAt: number
  /** The furthest a message can be held back, in ms: ten years. */
  readonly maximumDelayMs: number
  /** Resident entries of a lane (a queue, or one priority level of it), where there is a disk. */
  readonly windowMessages: number
  /**
   * Resident bytes of bodies and properties of a lane, where there is a disk; never more than an eighth of `memoryBytes`, an eighth
   * of it when all messages take more than that, and less when they take more than half.
   */
  readonly windowBytes: number
  /** Resident delayed entries of a queue, where there is a disk. */
  readonly delayedWindow: number
}

export const defaultLimits: BrokerLimits = {
  maximumBodyBytes: 128 * 1024 * 1024,
  maximumHeaderBytes: 64 * 1024,
  memoryBytes: 1024 * 1024 * 1024,
  unwrittenBytes: 64 * 1024 * 1024,
  deliveriesPerTurn: 2_000,
  resumeAt: 0.8,
  maximumDelayMs: 3_650 * 86_400_000,
  windowMessages: 4_096,
  windowBytes: 32 * 1024 * 1024,
  delayedWindow: 4_096,
}

/**
 * Where a store is: a send needs several turns, so in long ones a worker on a backlog leaves senders a fourth of its own rate;
 * with these both have the same (benchmark P10), and without a backlog nothing changes (P3).
 */
export const defaultStorageLimits: Partial<BrokerLimits> = { deliveriesPerTurn: 500 }
