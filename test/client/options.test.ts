import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  checkOptions,
  isDuration,
  isEither,
  isFalse,
  isInteger,
  isObjectOf,
  isString,
} from '../../src/client/options.ts'

const known = {
  attempts: isInteger(1, 10),
  timeout: isDuration,
  deadLetter: isEither(isString, isFalse),
  dedupe: isObjectOf({ key: isString, window: isDuration }),
}

function refused(options: unknown, message: RegExp): void {
  assert.throws(() => checkOptions('queue q', options, known), { code: 'INVALID_OPTION', message })
}

test('known options of the right type pass, and so do absent ones', () => {
  checkOptions('queue q', undefined, known)
  checkOptions('queue q', { attempts: undefined }, known)
  checkOptions(
    'queue q',
    { attempts: 3, timeout: '5s', deadLetter: false, dedupe: { key: 'a', window: 1 } },
    known,
  )
})

test('an unknown option is refused and the near one is named', () => {
  refused({ atempts: 3 }, /unknown option atempts; did you mean attempts\?/)
  refused({ colour: 3 }, /unknown option colour; it takes attempts, timeout, deadLetter, dedupe/)
})

test('a name of Object.prototype is no known option', () => {
  refused({ toString: 1 }, /unknown option toString/)
  refused(JSON.parse('{"__proto__": 1}'), /unknown option __proto__/)
})

test('a wrong type says what the option takes', () => {
  refused({ attempts: 0 }, /attempts must be a whole number from 1 to 10, not 0/)
  refused({ attempts: '3' }, /not '3'/)
  refused({ attempts: NaN }, /not NaN/)
  refused({ timeout: 'soon' }, /timeout must be a duration/)
  refused({ deadLetter: true }, /must be a string that is not empty or must be false/)
  refused({ dedupe: { key: 'a', windw: 1 } }, /did you mean window/)
  refused([], /options must be an object, not an array/)
  refused(null, /options must be an object, not null/)
})
