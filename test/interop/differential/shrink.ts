/** Ways to make a sequence that shows a difference smaller, the boldest first. */
import type { Difference } from './compare.ts'
import type { Sequence, Step } from './step.ts'

export function* smaller(difference: Difference): Generator<Sequence> {
  const { seed } = difference.sequence
  const steps = difference.sequence.steps.slice(0, difference.at + 1)
  if (steps.length < difference.sequence.steps.length) yield { seed, steps }
  for (let size = Math.floor(steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let start = 0; start + size <= steps.length; start += size) {
      yield { seed, steps: [...steps.slice(0, start), ...steps.slice(start + size)] }
    }
  }
  for (const [index, step] of steps.entries()) {
    for (const simpler of simplerSteps(step)) yield { seed, steps: steps.with(index, simpler) }
  }
}

/** With one thing less. */
function* simplerSteps(step: Step): Generator<Step> {
  if ('connection' in step && step.connection === 1) yield { ...step, connection: 0 }
  if ('channel' in step && step.channel === 2) yield { ...step, channel: 1 }
  if ('withNext' in step) {
    const { withNext: _, ...alone } = step
    yield alone
  }
  if (step.type === 'publish') {
    if (step.copies !== undefined) yield { ...step, copies: 1 }
    if (step.padding !== undefined) yield { ...step, padding: 0 }
    for (const properties of without(step.properties)) yield { ...step, properties }
    for (const headers of without(step.properties.headers ?? {})) {
      yield { ...step, properties: { ...step.properties, headers } }
    }
    for (const publish of without(step.publish)) yield { ...step, publish }
  }
  if (step.type === 'method') {
    for (const table of without(step.table ?? {})) yield { ...step, table }
    for (const name of Object.keys(step.method)) {
      const value = (step.method as unknown as Record<string, unknown>)[name]
      if (value === true) yield { ...step, method: { ...step.method, [name]: false } }
    }
  }
}

function* without<T extends object>(whole: T): Generator<T> {
  for (const name of Object.keys(whole)) {
    yield Object.fromEntries(Object.entries(whole).filter(([other]) => other !== name)) as T
  }
}
