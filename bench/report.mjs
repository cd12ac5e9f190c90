/** Medians, targets, the table, and what must be known of machine and versions to read the figures later. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readFile, statfs } from 'node:fs/promises'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'

const tmpfs = 0x01021994

/** The median of each metric over the rounds, and each target with what it came to. */
export function summarize(results, targets) {
  const medians = {}
  for (const [contestant, rounds] of Object.entries(results)) {
    medians[contestant] = {}
    for (const metric of Object.keys(rounds[0])) {
      medians[contestant][metric] = median(rounds.map((round) => round[metric]))
    }
  }
  return { medians, targets: targets.flatMap((target) => judge(target, medians)) }
}

/** A target is a ratio to a peer (`to`) or a bound on our own figure; nothing where one of the two did not run. */
function judge(target, medians) {
  const ours = medians[target.of]?.[target.metric]
  const theirs = target.to === undefined ? 1 : medians[target.to]?.[target.toMetric ?? target.metric]
  if (ours === undefined || theirs === undefined) return []
  const value = ours / theirs
  const met = target.atLeast === undefined ? value <= target.atMost : value >= target.atLeast
  return [{ ...target, value: Number(value.toPrecision(4)), met }]
}

export function printTable({ medians, targets }, problems) {
  const metrics = [...new Set(Object.values(medians).flatMap((row) => Object.keys(row)))]
  const rows = [['median', ...metrics]]
  for (const [contestant, row] of Object.entries(medians)) {
    rows.push([contestant, ...metrics.map((metric) => figure(row[metric]))])
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  for (const row of rows) {
    console.log(
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
        .join('  '),
    )
  }
  for (const target of targets) {
    const against =
      target.to === undefined
        ? ''
        : ` / ${target.to}${target.toMetric === undefined ? '' : ` ${target.toMetric}`}`
    const bound = target.atLeast === undefined ? `at most ${target.atMost}` : `at least ${target.atLeast}`
    console.log(
      `${target.met ? 'met   ' : 'MISSED'}  ${target.of} ${target.metric}${against} = ${figure(target.value)}, ${bound}`,
    )
  }
  for (const [contestant, problem] of Object.entries(problems))
    console.log(`NOT RUN  ${contestant}: ${problem}`)
}

/** Machine, versions, commit. */
export async function describeRun(here, work, servers) {
  const root = join(here, '..')
  const status = git(root, 'status', '--porcelain', '--', 'src')
  const onTmpfs = (await statfs(work)).type === tmpfs
  if (onTmpfs)
    console.log(`${work} is in memory (tmpfs): figures with a disk in them mean nothing; set BENCH_DIR`)
  return {
    at: new Date().toISOString(),
    commit: git(root, 'rev-parse', 'HEAD'),
    changed: status === null ? null : status !== '',
    machine: {
      cpu: cpus()[0]?.model,
      cores: cpus().length,
      memoryGb: Math.round(totalmem() / 2 ** 30),
      kernel: release(),
      tmpfs: onTmpfs,
    },
    versions: { node: process.version, ...servers, ...(await peerVersions(here)) },
  }
}

async function peerVersions(here) {
  const { devDependencies } = JSON.parse(await readFile(join(here, 'package.json'), 'utf8'))
  const installed = (name) =>
    JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'), 'utf8')).version
  // `redis` is the server.
  const named = (name) => (name === 'redis' ? 'node-redis' : name)
  return Object.fromEntries(Object.keys(devDependencies).map((name) => [named(name), installed(name)]))
}

function git(folder, ...args) {
  try {
    return execFileSync('git', args, {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return null
  }
}

function median(values) {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

function figure(value) {
  if (value === undefined) return '-'
  if (value >= 1_000) return Math.round(value).toLocaleString('en')
  return String(Number(value.toPrecision(3)))
}
