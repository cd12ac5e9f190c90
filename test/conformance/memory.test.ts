/** `memory:` passes the conformance suite, and docs/capabilities.md says of it what the run found. */
import { memoryEngine } from './memory-engine.ts'
import { testEngine } from './test-engine.ts'

testEngine(memoryEngine)
