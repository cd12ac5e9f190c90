/** `millrace stats`: a queue's figures, once or again and again. */
import { Option } from 'commander'
import type { Command } from 'commander'
import type { Queue, QueueReport } from '../../index.ts'
import { duration } from '../arguments.ts'
import { UsageError, exitCode } from '../exit-code.ts'
import { age } from '../format.ts'
import type { Host, SharedOptions } from '../host.ts'
import { unknownFigure } from '../table.ts'
import type { Terminal } from '../terminal.ts'

interface StatsFlags extends SharedOptions {
  readonly watch?: boolean
  readonly interval: number
}

/** Messages a second since the look before. */
interface Rates {
  readonly publishedRate: number
  readonly deliveredRate: number
  readonly ackedRate: number
}

export function addStats(program: Command, host: Host): void {
  program
    .command('stats')
    .description(
      "Show a queue's figures; sums count from the start of the engine, on redis since the queue was made",
    )
    .argument('<queue>', 'the queue')
    .option('--watch', 'go on until Ctrl-C, with rates')
    .addOption(
      new Option('--interval <duration>', 'how often to look').argParser(duration).default(1_000, '1s'),
    )
    .addHelpText('after', '\nExample:\n  $ millrace stats emails --watch\n')
    .action(async (queue: string, _local: unknown, command: Command) => {
      const flags = command.optsWithGlobals<StatsFlags>()
      await host.run(flags, () => stats(host, queue, flags))
    })
}

function stats(host: Host, name: string, flags: StatsFlags): Promise<number> {
  if (flags.interval < 100) throw new UsageError('--interval takes 100ms or more')
  const { terminal } = host
  return host.connected(flags, async (mq) => {
    const queue = mq.queue(name, { declare: false })
    if (flags.watch === true) return watch(terminal, queue, flags)
    const report = await queue.stats()
    if (flags.json === true) await terminal.print(JSON.stringify({ name, ...report }))
    else await terminal.print(page(terminal, name, report, undefined).join('\n'))
    return exitCode.ok
  })
}

async function watch(terminal: Terminal, queue: Queue, flags: StatsFlags): Promise<number> {
  const redraw = terminal.outputIsTerminal && flags.json !== true
  let before: { report: QueueReport; atMs: number } | undefined
  let drawn = 0
  while (!terminal.interrupted.aborted) {
    const report = await queue.stats()
    const atMs = performance.now()
    const rates = ratesOf(report, before?.report ?? report, atMs - (before?.atMs ?? 0))
    before = { report, atMs }
    if (redraw) {
      const lines = page(terminal, queue.name, report, rates)
      await terminal.write(`${drawn === 0 ? '' : `\u001b[${drawn}A\u001b[J`}${lines.join('\n')}\n`)
      drawn = lines.length
    } else if (flags.json === true) {
      await terminal.print(JSON.stringify({ at: new Date(), name: queue.name, ...report, ...rates }))
    } else await terminal.print(line(report, rates))
    await pause(flags.interval, terminal.interrupted)
  }
  return exitCode.ok
}

function ratesOf(now: QueueReport, before: QueueReport, elapsedMs: number): Rates {
  const rate = (sum: 'published' | 'delivered' | 'acked'): number =>
    Math.round((((now[sum] ?? 0) - (before[sum] ?? 0)) * 1_000) / Math.max(1, elapsedMs))
  return { publishedRate: rate('published'), deliveredRate: rate('delivered'), ackedRate: rate('acked') }
}

function page(terminal: Terminal, name: string, report: QueueReport, rates: Rates | undefined): string[] {
  const perSecond = (rate: number | undefined): string =>
    rate === undefined ? '' : terminal.style('cyan', `  ${rate.toLocaleString('en')}/s`)
  const row = (title: string, value: number | string | undefined, rate?: number): string => {
    const figure = typeof value === 'number' ? value.toLocaleString('en') : (value ?? unknownFigure)
    return `  ${title.padEnd(14)}${figure.padStart(12)}${perSecond(rate)}`
  }
  return [
    terminal.style('bold', name) + (report.paused ? terminal.style('yellow', '  paused') : ''),
    row('ready', report.ready),
    row('unacked', report.unacked),
    row('delayed', report.delayed),
    row('dead', report.dead),
    row('oldest', report.oldestMs === undefined ? undefined : age(report.oldestMs)),
    row('consumers', report.consumers),
    row('published', report.published, rates?.publishedRate),
    row('delivered', report.delivered, rates?.deliveredRate),
    row('acked', report.acked, rates?.ackedRate),
    row('retried', report.retried),
    row('dead-lettered', report.deadLettered),
    row('expired', report.expired),
    row('dropped', report.dropped),
  ]
}

function line(report: QueueReport, rates: Rates): string {
  const { ready, unacked, delayed, dead, consumers } = report
  return (
    `${new Date().toISOString()} ready ${ready} unacked ${unacked ?? unknownFigure} ` +
    `delayed ${delayed ?? unknownFigure} dead ${dead} ` +
    `consumers ${consumers} published ${rates.publishedRate}/s delivered ${rates.deliveredRate}/s ` +
    `acked ${rates.ackedRate}/s`
  )
}

/** Resolves after the time, or at once when interrupted. */
function pause(ms: number, interrupted: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      interrupted.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    interrupted.addEventListener('abort', done)
    if (interrupted.aborted) done()
  })
}
