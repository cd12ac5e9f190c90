/**
 * The PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt): a load balancer says
 * in front of everything else whose connection it passes on.
 *
 *   1  "PROXY TCP4 192.0.2.1 192.0.2.2 56324 5672\r\n", 107 bytes at most
 *   2  12 bytes of signature | version and command | family | length (2) | addresses | extensions
 *
 * Read only on listeners where it is asked for: else anybody could claim to be anybody.
 */
import { isIP } from 'node:net'

export interface ProxyHeader {
  /** Bytes to skip. */
  readonly length: number
  /** Whose connection it is; undefined for the proxy's own (health checks) and for addresses we cannot tell. */
  readonly source: { readonly address: string; readonly port: number } | undefined
}

const signature = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a])
const maximumTextBytes = 107
/** Of version 2, extensions included: more than any proxy sends. */
const maximumBinaryBytes = 4096

/** Reads the header; undefined while it is not there in full, 'malformed' for what is none. */
export function readProxyHeader(bytes: Buffer): ProxyHeader | 'malformed' | undefined {
  const compared = Math.min(bytes.length, signature.length)
  if (compared === 0) return undefined
  if (bytes.compare(signature, 0, compared, 0, compared) === 0) return readBinary(bytes)
  return readText(bytes)
}

function readText(bytes: Buffer): ProxyHeader | 'malformed' | undefined {
  const start = bytes.toString('latin1', 0, Math.min(6, bytes.length))
  if (!'PROXY '.startsWith(start)) return 'malformed'
  const end = bytes.subarray(0, maximumTextBytes).indexOf('\r\n')
  if (end === -1) return bytes.length >= maximumTextBytes ? 'malformed' : undefined
  const [, family, address = '', , port = ''] = bytes.toString('latin1', 0, end).split(' ')
  const length = end + 2
  if (family === 'UNKNOWN') return { length, source: undefined }
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : 0
  if (version === 0 || isIP(address) !== version || !/^\d{1,5}$/.test(port)) return 'malformed'
  return { length, source: { address, port: Number(port) } }
}

function readBinary(bytes: Buffer): ProxyHeader | 'malformed' | undefined {
  if (bytes.length < 16) return undefined
  const command = bytes[12]!
  const family = bytes[13]! >> 4
  const addressBytes = bytes.readUInt16BE(14)
  const length = 16 + addressBytes
  if (command >> 4 !== 2 || (command & 0x0f) > 1 || length > maximumBinaryBytes) return 'malformed'
  if (bytes.length < length) return undefined
  // LOCAL: the proxy speaks for itself.
  if ((command & 0x0f) === 0) return { length, source: undefined }
  if (family === 1 && addressBytes >= 12) {
    const address = [...bytes.subarray(16, 20)].join('.')
    return { length, source: { address, port: bytes.readUInt16BE(24) } }
  }
  if (family === 2 && addressBytes >= 36) {
    const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(16 + index * 2).toString(16))
    return { length, source: { address: groups.join(':'), port: bytes.readUInt16BE(48) } }
  }
  return { length, source: undefined }
}
