/** `amqp://` passes the conformance suite on Millrace's own broker, and docs/capabilities.md says of it what the run found. */
import { after } from 'node:test'
import { millraceEngine, stopMillrace } from './millrace-engine.ts'
import { testEngine } from './test-engine.ts'

testEngine(millraceEngine)
after(stopMillrace)
