/** The type that a virtual host gives to queues declared without one (https://www.rabbitmq.com/docs/vhosts#default-queue-type). */
import { emptyFieldTable } from '../model/field-value.ts'
import type { FieldTable } from '../model/field-value.ts'
import type { Kernel } from './kernel.ts'
import type { DeclareQueue } from './topology.ts'

/** The arguments of a declaration, with that type where the queue can be of it: durable, shared, named, not auto-delete. */
export function withDefaultQueueType(kernel: Kernel, vhost: string, wanted: DeclareQueue): FieldTable {
  const table = wanted.arguments ?? emptyFieldTable
  const type = kernel.parameters.vhost(vhost)?.defaultQueueType ?? ''
  if (type === '' || type === 'classic' || Object.hasOwn(table, 'x-queue-type')) return table
  const { name, durable, exclusive, autoDelete } = wanted
  const fits = name !== '' && durable === true && exclusive !== true && autoDelete !== true
  return fits ? { ...table, 'x-queue-type': type } : table
}
