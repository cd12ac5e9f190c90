/** Holds the house: who may import whom, purity of the core, sizes. The table is that of ARCHITECTURE.md. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'

const source = resolve(import.meta.dirname, '../src')

/** Folder (or file) under src -> folders it may import besides itself and std. `client/driver` is the port alone. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  std: [],
  model: [],
  routing: ['model'],
  wire: ['model'],
  engine: ['routing', 'model'],
  store: ['model'],
  broker: ['engine', 'store', 'model'],
  server: ['broker', 'wire', 'model'],
  client: ['model'],
  conformance: ['client', 'model'],
  drivers: ['client/driver', 'broker', 'store', 'engine', 'routing', 'model'],
  cli: ['*'],
  'index.ts': ['*'],
}

const pure = ['model', 'routing', 'wire', 'engine', 'std']

/** What the pure core must not touch: the outside, time, chance, promises. */
const impure = [
  [/from 'node:/, 'a node: import'],
  [/\bDate\.now\b|\bnew Date\(\)/, 'the clock'],
  [/\bMath\.random\b/, 'chance'],
  [/\bsetTimeout\b|\bsetImmediate\b|\bsetInterval\b|\bqueueMicrotask\b/, 'a timer'],
  [/\bnew Promise\b|\bPromise\.|(?<!-)\basync\b|\bawait\b/, 'a promise'],
] as const

const files = filesOf(source)

function filesOf(folder: string): readonly { path: string; text: string }[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => ({ path, text: readFileSync(join(folder, path), 'utf8') }))
}

function imports(path: string, text: string): string[] {
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+)'/g)]
  return found.map((match) => relative(source, resolve(source, dirname(path), match[1] as string)))
}

function room(path: string): string {
  return path.split('/')[0] as string
}

test('every folder imports only what the table of ARCHITECTURE.md allows', () => {
  const wrong: string[] = []
  for (const { path, text } of files) {
    const rooms = allowed[room(path)]
    assert.ok(rooms !== undefined, `${path}: a folder that is not in the table`)
    if (rooms.includes('*')) continue
    for (const target of imports(path, text)) {
      const home = room(target)
      if (home === room(path) || home === 'std') continue
      if (rooms.some((name) => target === `${name}.ts` || home === name)) continue
      wrong.push(`${path} imports ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('a driver of a network engine knows the port and no broker', () => {
  const shared = [
    'capabilities',
    'in-process-abort',
    'link',
    'link-state',
    'queue-arguments',
    'untrusted',
    'url-settings',
  ]
  const may = ['client/driver.ts', ...shared.map((name) => `drivers/${name}.ts`)]
  const wrong: string[] = []
  for (const { path, text } of files) {
    if (!/^drivers\/[^/]+\//.test(path)) continue
    for (const target of imports(path, text)) {
      if (may.includes(target) || dirname(target) === dirname(path)) continue
      // Who has no broker to route for it routes by itself.
      const rooms = path.startsWith('drivers/redis/') ? ['model', 'std', 'routing'] : ['model', 'std']
      if (!rooms.includes(room(target))) wrong.push(`${path} imports ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('no import goes round in a circle', () => {
  const graph = new Map(files.map(({ path, text }) => [path, imports(path, withoutTypes(text))]))
  const state = new Map<string, 'open' | 'done'>()
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return
    assert.notEqual(state.get(path), 'open', `a circle: ${[...trail, path].join(' -> ')}`)
    state.set(path, 'open')
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path])
    state.set(path, 'done')
  }
  for (const path of graph.keys()) visit(path, [])
})

test('the core is pure: no outside, clock, chance, timer or promise', () => {
  const wrong: string[] = []
  for (const { path, text } of files) {
    if (!pure.includes(room(path)) || impureByNature.has(path)) continue
    const code = withoutComments(text)
    for (const [pattern, what] of impure) if (pattern.test(code)) wrong.push(`${path} uses ${what}`)
  }
  assert.deepEqual(wrong, [])
})

test('only the folders at the edge touch the outside', () => {
  const edge = ['store', 'broker', 'server', 'drivers', 'client', 'conformance', 'cli']
  for (const { path, text } of files) {
    if (edge.includes(room(path))) continue
    assert.ok(!/from 'node:/.test(text), `${path} imports from node:`)
  }
})

test('a file has at most 400 lines, and so has a test', () => {
  const all = [...files, ...filesOf(import.meta.dirname)]
  const long = all.filter(({ text }) => text.split('\n').length > 401).map(({ path }) => path)
  assert.deepEqual(long, [])
})

test('dependencies are those that ARCHITECTURE.md gives a reason for', () => {
  const root = resolve(source, '..')
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies?: object }
  const text = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    assert.ok(text.includes(`\`${name}\``), `${name} has no line of reason in ARCHITECTURE.md`)
  }
})

/** Small pieces of std that are about promises and events. */
const impureByNature = new Set(['std/deferred.ts', 'std/emitter.ts'])

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/\/\/.*$/gm, '')
}

function withoutTypes(text: string): string {
  return text.replaceAll(/^(import|export) type [\s\S]*?from '[^']+'$/gm, '')
}
