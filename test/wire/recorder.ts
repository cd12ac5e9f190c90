/** Reads a stream as an end of a connection would, and writes down what came of it. */
import { createHash } from 'node:crypto'
import { ContentReader, FrameReader, decodeMethod, decodeProperties } from '../../src/wire/index.ts'
import type { FrameSink, Method } from '../../src/wire/index.ts'
import { MillraceError } from '../../src/model/errors.ts'
import { hasContent } from './samples.ts'

export interface Recording {
  /** Each thing that came, as text that can be compared. */
  readonly events: readonly string[]
  /** What `push` threw; all bytes after it were ignored. */
  readonly error: unknown
  readonly reader: FrameReader
}

export interface RecorderOptions {
  readonly expectsProtocolHeader?: boolean
  readonly frameMaxBytes?: number
}

/** Pushes the chunks one after another, each overwritten when the reader is done with it, as a socket's would be. */
export function record(chunks: readonly Uint8Array[], options: RecorderOptions = {}): Recording {
  const recorder = new Recorder()
  const reader = new FrameReader(recorder, {
    expectsProtocolHeader: options.expectsProtocolHeader ?? false,
    frameMaxBytes: options.frameMaxBytes ?? 4096,
  })
  let error: unknown
  for (const chunk of chunks) {
    const lent = Buffer.from(chunk)
    try {
      reader.push(lent)
    } catch (thrown) {
      error ??= thrown
    }
    lent.fill(0xaa)
  }
  return { events: recorder.events, error, reader }
}

class Recorder implements FrameSink {
  readonly events: string[] = []
  readonly #contents = new Map<number, ContentReader>()
  readonly #methods = new Map<number, Method>()

  protocolHeader(bytes: Buffer): void {
    this.events.push(`protocol header ${bytes.toString('hex')}`)
  }

  method(channel: number, buffer: Buffer, start: number, end: number): void {
    this.#contentOf(channel).checkMethod()
    const method = decodeMethod(buffer, start, end)
    if (hasContent(method)) {
      this.#contentOf(channel).expect()
      this.#methods.set(channel, method)
    } else {
      this.#record(channel, method)
    }
  }

  header(channel: number, buffer: Buffer, start: number, end: number): void {
    if (this.#contentOf(channel).header(buffer, start, end)) this.#complete(channel)
  }

  body(channel: number, buffer: Buffer, start: number, end: number, restBytes: number): void {
    if (this.#contentOf(channel).payload(buffer, start, end, restBytes)) this.#complete(channel)
  }

  heartbeat(channel: number): void {
    this.events.push(`${channel} heartbeat`)
  }

  #complete(channel: number): void {
    const content = this.#contentOf(channel)
    const body = createHash('md5').update(content.body).digest('hex')
    this.#record(channel, { ...this.#methods.get(channel), properties: propertiesOf(content), body })
  }

  #record(channel: number, what: object): void {
    this.events.push(`${channel} ${JSON.stringify(what, bigints)}`)
  }

  #contentOf(channel: number): ContentReader {
    let content = this.#contents.get(channel)
    if (content === undefined) {
      content = new ContentReader({ maximumBodyBytes: 1_000_000 })
      this.#contents.set(channel, content)
    }
    return content
  }
}

/** The bytes are passed on as they are; whether they are properties is seen when somebody asks. */
function propertiesOf(content: ContentReader): unknown {
  try {
    return decodeProperties(content.propertyBytes)
  } catch (error) {
    if (error instanceof MillraceError) return error.message
    throw error
  }
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
