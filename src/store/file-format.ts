/**
 * Names and headers of the files of a data folder. docs/log-format.md draws them.
 *
 * ```text
 * log file header, 64 bytes:
 *  0                8         12            16           20     24         32            40         60
 *  | "MILLRACE"     | version | file number | generation | salt | base seq | first batch | zeroes   | crc |
 * ```
 */
import { crc32 } from 'node:zlib'
import { readU64, writeU64 } from './bytes.ts'

/** The version of everything in the folder; what is newer is refused. */
export const formatVersion = 1
export const formatFile = 'FORMAT'
export const lockFile = 'LOCK'
export const logFolder = 'log'
export const quarantineFolder = 'quarantine'
export const fileHeaderBytes = 64
const magic = Buffer.from('MILLRACE')

export interface FileHeader {
  readonly version: number
  readonly number: number
  /** How often it was rewritten by compaction. */
  readonly generation: number
  /** Seeds the checksums of its batch headers. */
  readonly salt: number
  /** No entry in it has a lower sequence number. */
  readonly baseSeq: number
  /** The number of its first batch. */
  readonly firstBatch: number
}

export function logPath(number: number): string {
  return `${logFolder}/${String(number).padStart(10, '0')}.log`
}

export function indexPath(number: number): string {
  return `${logFolder}/${String(number).padStart(10, '0')}.idx`
}

/** The number in the name of a log or index file; undefined for any other name. */
export function parseName(name: string): { number: number; kind: 'log' | 'idx' } | undefined {
  const match = /^(\d{10})\.(log|idx)$/.exec(name)
  if (match === null) return undefined
  return { number: Number(match[1]), kind: match[2] === 'log' ? 'log' : 'idx' }
}

export function encodeFileHeader(header: FileHeader): Buffer {
  const buffer = Buffer.alloc(fileHeaderBytes)
  magic.copy(buffer, 0)
  buffer.writeUInt32LE(header.version, 8)
  buffer.writeUInt32LE(header.number, 12)
  buffer.writeUInt32LE(header.generation, 16)
  buffer.writeUInt32LE(header.salt, 20)
  writeU64(buffer, 24, header.baseSeq)
  writeU64(buffer, 32, header.firstBatch)
  buffer.writeUInt32LE(crc32(buffer.subarray(0, fileHeaderBytes - 4)), fileHeaderBytes - 4)
  return buffer
}

/** Undefined when it is damaged. */
export function decodeFileHeader(buffer: Buffer): FileHeader | undefined {
  if (buffer.length < fileHeaderBytes || !buffer.subarray(0, 8).equals(magic)) return undefined
  const checksum = crc32(buffer.subarray(0, fileHeaderBytes - 4))
  if (buffer.readUInt32LE(fileHeaderBytes - 4) !== checksum) return undefined
  return {
    version: buffer.readUInt32LE(8),
    number: buffer.readUInt32LE(12),
    generation: buffer.readUInt32LE(16),
    salt: buffer.readUInt32LE(20),
    baseSeq: readU64(buffer, 24),
    firstBatch: readU64(buffer, 32),
  }
}
