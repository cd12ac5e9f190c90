/** Which of a cluster's 16,384 slots a key is in (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/). */

export const slotCount = 16_384

/** What is between the first braces decides, where there is something; else the whole key. */
export function slotOf(key: string): number {
  const open = key.indexOf('{')
  const close = open < 0 ? -1 : key.indexOf('}', open + 1)
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key
  return crc16(Buffer.from(hashed)) % slotCount
}

/** CRC-16/XMODEM. */
function crc16(bytes: Buffer): number {
  let crc = 0
  for (const byte of bytes) crc = ((crc << 8) ^ (table[(crc >> 8) ^ byte] as number)) & 0xffff
  return crc
}

const table = Uint16Array.from({ length: 256 }, (_, index) => {
  let crc = index << 8
  for (let bit = 0; bit < 8; bit += 1) crc = (crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)
  return crc
})
