/**
 * Passwords as they are kept: scrypt for those set here, RabbitMQ's salted SHA-2 for those that came from its definitions
 * (https://www.rabbitmq.com/docs/passwords).
 *
 * ```text
 * scrypt                            log2 of the cost u8 | block size u8 | parallelism u8 | salt, 16 bytes | hash, 32 bytes
 * rabbit_password_hashing_sha256    salt, 4 bytes | SHA-256 of salt and password
 * rabbit_password_hashing_sha512    the same with SHA-512
 * ```
 *
 * scrypt is slow on purpose, and runs beside the event loop, one at a time: a flood of logins must not keep the disk's own
 * work waiting. A password that was right once is remembered as a keyed digest, so that a thousand connections of one
 * program hash once.
 */
import { createHash, createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import type { HashingAlgorithm } from '../model/setting.ts'

export interface PasswordHash {
  readonly hashing: HashingAlgorithm
  /** Base64. */
  readonly passwordHash: string
}

const costLog2 = 14
const blockSize = 8
const parallelism = 1
const saltBytes = 16
const hashBytes = 32
const rabbitSaltBytes = 4

/** Logins that may wait for the hashing of others; more are refused. */
const maximumWaiting = 1024

/** For the disk: slow to guess. */
export async function hashPassword(password: string): Promise<PasswordHash> {
  const salt = randomBytes(saltBytes)
  const hash = await derive(password, salt, { costLog2, blockSize, parallelism })
  const bytes = Buffer.concat([Buffer.of(costLog2, blockSize, parallelism), salt, hash])
  return { hashing: 'scrypt', passwordHash: bytes.toString('base64') }
}

/** At once, and quick to guess: for passwords that everybody knows, or that are never stored. */
export function hashQuickly(password: string): PasswordHash {
  const salt = randomBytes(rabbitSaltBytes)
  const bytes = Buffer.concat([salt, digest('sha256', salt, password)])
  return { hashing: 'rabbit_password_hashing_sha256', passwordHash: bytes.toString('base64') }
}

interface Login {
  readonly passwordHash: string
  /** The same, decoded. */
  readonly bytes: Buffer
  readonly password: string
  /** What is remembered of the password if it is right. */
  readonly seen: Buffer
  readonly wanted: () => boolean
}

const always = (): boolean => true

/** Compares passwords with what is kept of them. */
export class PasswordChecker {
  readonly #key = randomBytes(32)
  /** Digests of passwords that were right, by the hash they were right for. */
  readonly #known = new Map<string, Buffer>()
  #waiting = 0
  #last: Promise<unknown> = Promise.resolve()
  /** How long the last one took, the wait for others included; at first about what it takes. */
  #tookMs = 50

  /** At once where it can be told at once. @param wanted false for who has gone meanwhile: nothing is hashed for them */
  check(kept: PasswordHash, password: string, wanted: () => boolean = always): boolean | Promise<boolean> {
    const { hashing, passwordHash } = kept
    // No hash, no login; and RabbitMQ refuses an empty password whatever its hash.
    if (passwordHash === '' || password === '') return false
    const bytes = Buffer.from(passwordHash, 'base64')
    if (hashing !== 'scrypt') {
      const salt = bytes.subarray(0, rabbitSaltBytes)
      const name = hashing === 'rabbit_password_hashing_sha512' ? 'sha512' : 'sha256'
      return isEqual(digest(name, salt, password), bytes.subarray(rabbitSaltBytes))
    }
    const known = this.#known.get(passwordHash)
    const seen = createHmac('sha256', this.#key).update(password).digest()
    if (known !== undefined && timingSafeEqual(known, seen)) return true
    if (this.#waiting >= maximumWaiting) return false
    this.#waiting += 1
    const beganMs = performance.now()
    const checked = this.#last.then(() => this.#derived({ passwordHash, bytes, password, seen, wanted }))
    const took = (): void => {
      if (wanted()) this.#tookMs = performance.now() - beganMs
    }
    this.#last = checked.catch(() => undefined).then(took)
    return checked
  }

  /** As long as a wrong password takes: so nobody learns which names there are. It costs nothing but the wait. */
  delay(): Promise<undefined> {
    return new Promise((resolve) => setTimeout(resolve, this.#tookMs, undefined))
  }

  async #derived({ passwordHash, bytes, password, seen, wanted }: Login): Promise<boolean> {
    try {
      if (!wanted()) return false
      const [cost = 0, block = 0, parallel = 0] = bytes
      const salt = bytes.subarray(3, 3 + saltBytes)
      const terms = { costLog2: cost, blockSize: block, parallelism: parallel }
      const right = isEqual(await derive(password, salt, terms), bytes.subarray(3 + saltBytes))
      if (right) this.#known.set(passwordHash, seen)
      return right
    } finally {
      this.#waiting -= 1
    }
  }
}

function derive(
  password: string,
  salt: Buffer,
  terms: { costLog2: number; blockSize: number; parallelism: number },
): Promise<Buffer> {
  const options = {
    N: 2 ** terms.costLog2,
    r: terms.blockSize,
    p: terms.parallelism,
    maxmem: 256 * 1024 * 1024,
  }
  return new Promise((resolve, reject) => {
    scrypt(password, salt, hashBytes, options, (error, hash) =>
      error === null ? resolve(hash) : reject(error),
    )
  })
}

function digest(name: 'sha256' | 'sha512', salt: Buffer, password: string): Buffer {
  return createHash(name).update(salt).update(password).digest()
}

function isEqual(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
