/** Beginning to listen: what stands in the way is told in words that say what to do. */
import { once } from 'node:events'
import type { Server as NetServer } from 'node:net'
import { MillraceError, ValidationError } from '../model/errors.ts'

/** @throws MillraceError ADDRESS_UNUSABLE; its cause is what the system said */
export async function listening(net: NetServer, address: string): Promise<void> {
  try {
    await once(net, 'listening')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = (code !== undefined && reasons[code]) || `${message}; name another address`
    throw new MillraceError('ADDRESS_UNUSABLE', `cannot listen on ${address}: ${why}`, { cause: error })
  }
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE:
    'it is in use; stop the program that listens there, or choose another one (port 0 is any free one)',
  EACCES: 'the system does not let this user; choose another port or path, or start it as a user who may',
  EADDRNOTAVAIL:
    'that is no address of this machine; choose one of its own, 127.0.0.1 or 0.0.0.0 for instance',
  ENOTFOUND: 'there is no host of that name; give an address of this machine',
}

/** @throws ValidationError INVALID_OPTION for certificates and keys that OpenSSL does not take */
export function secured<Secure>(make: () => Secure): Secure {
  try {
    return make()
  } catch (error) {
    throw new ValidationError(
      'INVALID_OPTION',
      `the TLS certificate and key cannot be used (${(error as Error).message}): give both as PEM, and the key of that very certificate`,
      { cause: error },
    )
  }
}
