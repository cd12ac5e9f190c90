/** A TLS server whose certificate nobody here vouches for: it answers, and is not believed. */
import { MillraceError } from '../model/errors.ts'

/** OpenSSL's and Node's names for it, by their forms (https://nodejs.org/api/tls.html#x509-certificate-error-codes). */
const codes =
  /^(CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|ERR_TLS_CERT_ALTNAME_INVALID)/

/** Undefined where the error is another one. @param where as `amqps://host:5671` */
export function untrusted(error: unknown, where: string): MillraceError | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  if (typeof error.code !== 'string' || !codes.test(error.code)) return undefined
  const isOfAnother = /HOSTNAME|ALTNAME/.test(error.code)
  const help = isOfAnother
    ? 'connect to the name that is in it, or say by ?server_name_indication= which one that is'
    : 'name its authority by ?cacertfile=, or trust anybody by ?verify=verify_none'
  return new MillraceError(
    'UNREACHABLE',
    `The certificate of ${where} is not trusted (${error.message}); ${help}`,
    { cause: error },
  )
}
