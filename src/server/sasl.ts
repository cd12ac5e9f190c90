/**
 * SASL: what connection.start offers and how the answer in connection.start-ok is read. All three take one step, so
 * connection.secure is never sent.
 *
 *   PLAIN     authorization NUL name NUL password (RFC 4616)
 *   AMQPLAIN  a field table without its length: LOGIN, PASSWORD (RabbitMQ's, of AMQP 0-8)
 *   EXTERNAL  nothing: the certificate that the peer showed to TLS says who it is
 */
import { MillraceError } from '../model/errors.ts'
import { FieldReader } from '../model/field-reader.ts'

export type Mechanism = 'PLAIN' | 'AMQPLAIN' | 'EXTERNAL'

export type Credentials =
  | { readonly type: 'password'; readonly name: string; readonly password: string }
  | { readonly type: 'certificate' }

/** The mechanisms offered, as connection.start has them. @param certificate the peer has shown one that was verified */
export function mechanismsFor(certificate: boolean): readonly Mechanism[] {
  return certificate ? ['PLAIN', 'AMQPLAIN', 'EXTERNAL'] : ['PLAIN', 'AMQPLAIN']
}

/** Reads an answer. Undefined for one that cannot be read; whoever sent it is refused like one with a wrong password. */
export function readResponse(mechanism: Mechanism, response: Uint8Array): Credentials | undefined {
  switch (mechanism) {
    case 'PLAIN':
      return readPlain(response)
    case 'AMQPLAIN':
      return readAmqplain(response)
    case 'EXTERNAL':
      return { type: 'certificate' }
  }
}

function readPlain(response: Uint8Array): Credentials | undefined {
  const parts = Buffer.from(response).toString('utf8').split('\0')
  if (parts.length !== 3) return undefined
  return { type: 'password', name: parts[1]!, password: parts[2]! }
}

function readAmqplain(response: Uint8Array): Credentials | undefined {
  const table = Buffer.alloc(4 + response.byteLength)
  table.writeUInt32BE(response.byteLength, 0)
  table.set(response, 4)
  try {
    const { LOGIN: name, PASSWORD: password } = new FieldReader(table).table(1)
    if (typeof name !== 'string' || typeof password !== 'string') return undefined
    return { type: 'password', name, password }
  } catch (error) {
    if (error instanceof MillraceError) return undefined
    throw error
  }
}
