/** `file:` passes the conformance suite, and docs/capabilities.md says of it what the run found. */
import { fileEngine } from './file-engine.ts'
import { testEngine } from './test-engine.ts'

testEngine(fileEngine)
