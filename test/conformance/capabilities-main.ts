/** Runs the suite on every engine and writes docs/capabilities.md from it; with --check it only compares. */
import { readFileSync, writeFileSync } from 'node:fs'
import { conformance, numberText } from '../../src/conformance/index.ts'
import type { EngineUnderTest, LineResult } from '../../src/conformance/index.ts'
import { capabilitiesDocument, documentPath, failures, patience } from './capabilities-doc.ts'
import { engines } from './engines.ts'
import { stopMillrace } from './millrace-engine.ts'
import { stopRabbitMq } from './rabbitmq-engine.ts'
import { stopRedis } from './redis-engine.ts'

async function main(): Promise<void> {
  const runs: Record<string, readonly LineResult[]> = {}
  for (const engine of engines) runs[engine.name] = await run(engine)
  await Promise.all([stopRabbitMq(), stopMillrace(), stopRedis()])
  const document = capabilitiesDocument(runs)
  const failed = Object.entries(runs).flatMap(([name, results]) =>
    failures(results).map((failure) => `${name}: ${failure}`),
  )
  for (const failure of failed) console.error(failure)
  if (failed.length > 0) process.exitCode = 1
  if (!process.argv.includes('--check')) writeFileSync(documentPath, document)
  else if (readFileSync(documentPath, 'utf8') !== document) {
    console.error('docs/capabilities.md is out of date: run npm run docs:capabilities')
    process.exitCode = 1
  }
}

/** A runner of a few lines: one test after another, in the order of their registration. */
async function run(engine: EngineUnderTest): Promise<readonly LineResult[]> {
  const tests: (() => Promise<void>)[] = []
  const results = conformance({
    engine,
    ...patience,
    runner: { test: (_name, test) => tests.push(test) },
    onResult: ({ number, outcome }) => {
      process.stderr.write(`\r${engine.name}: ${numberText(number)} ${outcome.type}          `)
    },
  })
  for (const test of tests) await test().catch(() => undefined)
  process.stderr.write('\n')
  return results
}

await main()
