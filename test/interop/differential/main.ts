/**
 * `npm run differential -- FROM COUNT` runs so many seeds from that one on a RabbitMQ and on Millrace's broker, and prints
 * where they differ, each made as short as can be. `--quorum` takes only the seeds, one in eight, that are about quorum queues,
 * `--pipelined` those, as many, that send several steps at once; `--stop N` begins no more after N differences; `--lanes N` runs N beside
 * each other; `--self` compares RabbitMQ with itself, to see what the harness is worth; `--data` gives the broker a folder; `--learn`
 * renews findings.jsonl.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { RabbitMq } from '../../servers/rabbitmq.ts'
import { startBroker } from '../../../src/server/index.ts'
import { learn } from './findings.ts'
import { pipelinedEvery, pipelinedFirst } from './generate-pipelined.ts'
import { quorumEvery } from './generate-quorum.ts'
import { report, runRange } from './range.ts'

const { values, positionals } = parseArgs({
  options: {
    lanes: { type: 'string', default: '12' },
    quorum: { type: 'boolean', default: false },
    pipelined: { type: 'boolean', default: false },
    self: { type: 'boolean', default: false },
    data: { type: 'boolean', default: false },
    stop: { type: 'string', default: '10' },
    learn: { type: 'boolean', default: false },
    'no-shrink': { type: 'boolean', default: false },
  },
  allowPositionals: true,
})

const [from = 1, count = 1] = positionals.map(whole)

function whole(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  console.error(
    `npm run differential -- FROM COUNT [--lanes N] [--quorum] [--pipelined] [--self] [--data] [--stop N]: '${text}'?`,
  )
  process.exit(2)
}

const folder = values.data ? await mkdtemp(join(tmpdir(), 'millrace-differential-')) : undefined
await using rabbit = await RabbitMq.start()
await using subject = values.self
  ? await RabbitMq.start()
  : await startBroker({ port: 0, ...(folder !== undefined && { data: folder }) })
if (values.learn) await learn(rabbit.port)
else await compare()
if (folder !== undefined) await rm(folder, { recursive: true, force: true })

function partOfSeeds(): { first: number; every: number } {
  if (values.quorum) return { first: 0, every: quorumEvery }
  if (values.pipelined) return { first: pipelinedFirst, every: pipelinedEvery }
  return { first: 0, every: 1 }
}

async function compare(): Promise<void> {
  const startMs = performance.now()
  const { first, every } = partOfSeeds()
  const summary = await runRange({
    ports: { reference: rabbit.port, subject: subject.port },
    from: Math.ceil((from - first) / every) * every + first,
    count,
    every,
    lanes: whole(values.lanes),
    stopAfter: whole(values.stop),
    shrinks: !values['no-shrink'],
    tell: (text) => console.log(text),
  })
  const seconds = (performance.now() - startMs) / 1000
  console.log(
    report(summary),
    `in ${seconds.toFixed(1)} s, ${(summary.sequences / seconds).toFixed(1)} a second`,
  )
  process.exitCode = summary.differences.length === 0 ? 0 : 1
}
