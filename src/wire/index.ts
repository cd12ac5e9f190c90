/**
 * `millrace/wire`: AMQP 0-9-1 as bytes, for both ends of a connection. It knows no sockets and no timers.
 *
 * ```ts
 * import { FrameReader, FrameWriter, decodeMethod } from 'millrace/wire'
 *
 * const reader = new FrameReader(
 *   {
 *     protocolHeader() {},
 *     method: (channel, buffer, start, end) => console.log(channel, decodeMethod(buffer, start, end)),
 *     header() {},
 *     body() {},
 *     heartbeat() {},
 *   },
 *   { expectsProtocolHeader: false, frameMaxBytes: 131_072 },
 * )
 * const writer = new FrameWriter({ frameMaxBytes: 131_072 })
 * writer.method(1, { type: 'queue.purge', queue: 'emails', nowait: false })
 * for (const bytes of writer.take()) reader.push(Buffer.from(bytes))
 * ```
 */
export { ContentReader } from './content-reader.ts'
export type { ContentReaderOptions } from './content-reader.ts'
export { FrameReader } from './frame-reader.ts'
export type { FrameReaderOptions, FrameSink } from './frame-reader.ts'
export { FrameWriter } from './frame-writer.ts'
export type { FrameWriterOptions } from './frame-writer.ts'
export type { Content } from './delivery-writer.ts'
export * from './frame.ts'
export { PublishReader, SettlementReader } from './message-methods.ts'
export { decodeMethod, encodeMethod, methodIdAt } from './method-codec.ts'
export { methodNameOf } from './method.ts'
export type { ContentMethod, FieldTypes, Method, MethodName, MethodOf } from './method.ts'
export { methodFields, methodIds, methodsWithContent, replyCodes } from './methods.ts'
export { ProtocolError } from '../model/errors.ts'
export { decodeFieldTable, encodeFieldTable } from '../model/field-table.ts'
export type { FieldTable, FieldValue } from '../model/field-table.ts'
export { decodeProperties, encodeProperties } from '../model/properties.ts'
export type { Properties } from '../model/properties.ts'
export { unexpectedFrame } from './wire-errors.ts'
