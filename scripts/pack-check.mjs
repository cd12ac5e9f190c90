/**
 * Checks the package as its users get it: packs it, installs the archive into an empty project, runs the README's ten
 * lines from JavaScript and from TypeScript under `strict`, runs the `millrace` command and the broker with its own client, checks the
 * declarations of all entry points, and asks attw and publint.
 *
 *   node scripts/pack-check.mjs
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'millrace-pack-'))
const windows = process.platform === 'win32'

try {
  const archive = pack()
  install(archive)
  runJavaScript()
  runTypeScript()
  runCommand()
  runBroker()
  checkEntries()
  step('attw', () => run('npx', ['attw', archive, '--profile', 'esm-only'], root))
  step('publint', () => run('npx', ['publint', archive, '--strict'], root))
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function pack() {
  return step('npm pack', () => {
    const [packed] = JSON.parse(
      run('npm', ['pack', '--json', '--silent', '--pack-destination', folder], root),
    )
    const paths = packed.files.map((file) => file.path)
    for (const path of ['dist/index.js', 'dist/index.d.ts', 'dist/cli/main.js', 'README.md', 'LICENSE']) {
      if (!paths.includes(path)) throw new Error(`the package lacks ${path}`)
    }
    const stray = paths.filter((path) => /^(src|test|bench|scripts)\//.test(path))
    if (stray.length > 0) throw new Error(`the package holds ${stray.join(', ')}`)
    return join(folder, packed.filename)
  })
}

function install(archive) {
  step('npm install', () => {
    write('package.json', JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
    run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--silent', archive])
  })
}

function runJavaScript() {
  step('JavaScript', () => {
    // "In JavaScript, leave out the type in angle brackets."
    write('ten-lines.js', tenLines().replace(/<\{.*?\}>/, ''))
    expectMail(run(process.execPath, ['ten-lines.js']))
  })
}

function runTypeScript() {
  step('TypeScript', () => {
    write('ten-lines.ts', tenLines())
    compile('ten-lines.ts')
    expectMail(run(process.execPath, ['built/ten-lines.js']))
  })
}

function runCommand() {
  step('millrace', () => {
    const url = ['--url', 'file:./data']
    run('npx', ['millrace', 'send', 'q', '{"a":1}', '--declare', ...url])
    const printed = run('npx', ['millrace', 'consume', 'q', ...url])
    if (printed !== '{"a":1}\n') throw new Error(`millrace consume printed ${printed}`)
  })
}

/** The broker as the README has it, with a client that its users bring. */
function runBroker() {
  step('broker', () => {
    write(
      'broker.js',
      `import { connect } from 'millrace'
import { startBroker } from 'millrace/server'
import { FrameReader } from 'millrace/wire'
const broker = await startBroker({ port: 0 })
const mq = await connect(broker.url)
await mq.queue('q').send({ a: FrameReader.name })
for await (const job of mq.queue('q').consume()) {
  await job.ack()
  console.log(job.data.a)
  break
}
await mq.close()
await broker.close()
`,
    )
    installPeer('amqplib')
    const printed = run(process.execPath, ['broker.js'])
    if (printed !== 'FrameReader\n') throw new Error(`the broker's program printed ${printed}`)
  })
}

/** The declarations of all entry points: a user may not set `skipLibCheck`. */
function checkEntries() {
  step('entries', () => {
    installPeer('redis')
    const names = Object.keys(readPackage().exports).filter((entry) => !entry.endsWith('.json'))
    const lines = names.map((name, at) => `export * as entry${at} from 'millrace${name.slice(1)}'\n`)
    write('entries.ts', lines.join(''))
    compile('entries.ts')
  })
}

function installPeer(name) {
  const peer = `${name}@${readPackage().peerDependencies[name]}`
  run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--silent', peer])
}

function readPackage() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
}

function compile(file) {
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    target: 'es2023',
    module: 'nodenext',
    outDir: 'built',
    typeRoots: [join(root, 'node_modules/@types')],
    types: ['node'],
  }
  write('tsconfig.json', JSON.stringify({ compilerOptions, include: [file] }))
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder])
}

function tenLines() {
  const [, code] = /^```ts\n(.*?)^```$/ms.exec(readFileSync(join(root, 'README.md'), 'utf8'))
  return code
}

function expectMail(output) {
  if (output !== 'a mail to ada@example.com, attempt 1\n') throw new Error(`the ten lines printed ${output}`)
}

function step(name, task) {
  process.stdout.write(`${name.padEnd(12)}`)
  const startedMs = performance.now()
  const result = task()
  process.stdout.write(`ok  ${((performance.now() - startedMs) / 1_000).toFixed(1)} s\n`)
  return result
}

function write(name, text) {
  writeFileSync(join(folder, name), text)
}

/** What the program printed; where it fails, what it said is shown. */
function run(program, args, cwd = folder) {
  try {
    return execFileSync(program, args, {
      cwd,
      encoding: 'utf8',
      shell: windows && program !== process.execPath,
    })
  } catch (error) {
    process.stdout.write(`failed\n${error.stdout ?? ''}`)
    throw new Error(`${program} ${args.join(' ')} failed`, { cause: error })
  }
}
