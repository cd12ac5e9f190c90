/**
 * Numbers of the frame layer (section 4.2.3).
 *
 * ```text
 * frame  type u8 | channel u16 | size u32 | payload, size bytes | end u8 = 0xce
 *
 * method payload   class u16 | method u16 | fields
 * header payload   class u16 | weight u16 = 0 | body size u64 | property flags and list
 * body payload     bytes
 * heartbeat        nothing, on channel 0
 * ```
 */

export const frameType = { method: 1, header: 2, body: 3, heartbeat: 8 } as const

/** The byte behind each payload. */
export const frameEnd = 0xce

/** Type, channel and size, in front of a payload. */
export const frameHeaderBytes = 7

/** What a frame has besides its payload. */
export const frameOverheadBytes = 8

/** The smallest frame-max that a peer may ask for, and what holds until connection.tune-ok. */
export const minimumFrameMaxBytes = 4096

/** Class, weight and body size, in front of the properties. */
export const contentHeaderBytes = 12

/** The class of every method that has content. */
export const basicClassId = 60

/** What a client of 0-9-1 sends first, and what a server answers to anything else. */
export const protocolHeader: Uint8Array = Uint8Array.of(0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1)

/** How long a protocol header is. */
export const protocolHeaderBytes = 8
