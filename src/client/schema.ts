/**
 * Schemas by the Standard Schema interface (standardschema.dev, version 1), which Zod, Valibot, ArkType and others
 * implement; its types are repeated here, as its specification invites, so that none of them is a dependency.
 */
import { ValidationError } from '../model/errors.ts'
import type { Check } from './options.ts'

export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

type SchemaResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: ReadonlyArray<SchemaIssue> }

interface SchemaIssue {
  readonly message: string
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined
}

export const isSchema: Check = (value) =>
  (typeof value === 'object' || typeof value === 'function') && value !== null && '~standard' in value
    ? undefined
    : 'must be a Standard Schema (one of Zod 3.24+, Valibot 1+, ArkType 2+, …)'

/**
 * The schema's output for a value, at once where the schema is synchronous.
 * @throws ValidationError SCHEMA_MISMATCH with each issue's path
 */
export function validate<Output>(
  schema: StandardSchema<unknown, Output>,
  value: unknown,
  queue: string,
): Output | Promise<Output> {
  const result = schema['~standard'].validate(value)
  return result instanceof Promise ? result.then((late) => output(late, queue)) : output(result, queue)
}

function output<Output>(result: SchemaResult<Output>, queue: string): Output {
  if (result.issues === undefined) return result.value
  const issues = result.issues.map((issue) => `${path(issue)}${issue.message}`).join('; ')
  throw new ValidationError('SCHEMA_MISMATCH', `The message does not fit the schema of ${queue}: ${issues}`)
}

function path(issue: SchemaIssue): string {
  if (issue.path === undefined || issue.path.length === 0) return ''
  const keys = issue.path.map((part) => String(typeof part === 'object' ? part.key : part))
  return `${keys.join('.')}: `
}
