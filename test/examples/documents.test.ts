/** The code in the README and in docs/ is code: it compiles, and the README's ten lines run. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { describe, test } from 'node:test'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))

/** What the pieces of code in docs/ take for granted. */
const prelude = `import { connect, NonRetryableError } from 'millrace'
export const mq = await connect('memory:')
export { NonRetryableError }
`

async function documents(): Promise<string[]> {
  const inDocs = (await readdir(join(root, 'docs'))).filter((file) => file.endsWith('.md'))
  return ['README.md', 'README.zh-CN.md', ...inDocs.map((file) => `docs/${file}`)]
}

function typescriptIn(markdown: string): string[] {
  return [...markdown.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1] ?? '')
}

/** A project in a folder of its own, with this checkout as `millrace` and its node_modules. */
async function project(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-docs-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  const compilerOptions = {
    rootDir: '/',
    paths: {
      millrace: [join(root, 'src/index.ts')],
      'millrace/drivers/redis': [join(root, 'src/drivers/redis/redis.ts')],
      'millrace/server': [join(root, 'src/server/index.ts')],
      'millrace/wire': [join(root, 'src/wire/index.ts')],
    },
    noUnusedLocals: false,
    noUnusedParameters: false,
  }
  const config = { extends: join(root, 'tsconfig.json'), compilerOptions, include: ['*.ts'] }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config))
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }))
  return folder
}

describe('documents', () => {
  test('every piece of TypeScript compiles', { timeout: 120_000 }, async (t) => {
    const folder = await project(t)
    await writeFile(join(folder, 'prelude.ts'), prelude)
    let count = 0
    for (const document of await documents()) {
      const blocks = typescriptIn(await readFile(join(root, document), 'utf8'))
      for (const [index, block] of blocks.entries()) {
        const own = /^(const mq|import .*connect)/m.test(block)
        const name = `${document.replaceAll(/\W/g, '-')}-${index + 1}.ts`
        await writeFile(
          join(folder, name),
          own ? block : `import { mq } from './prelude.ts'\n${block}\nexport {}\n`,
        )
        count += 1
      }
    }
    assert(count >= 10)
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout } = spawnSync(process.execPath, [tsc, '--noEmit', '-p', folder], { encoding: 'utf8' })
    assert.equal(stdout, '')
  })

  test('the ten lines run, and stop when there is nothing left to do', { timeout: 60_000 }, async (t) => {
    for (const document of ['README.md', 'README.zh-CN.md']) {
      const folder = await project(t)
      const [example = ''] = typescriptIn(await readFile(join(root, document), 'utf8'))
      await writeFile(join(folder, 'ten-lines.ts'), example)
      const { stdout, stderr } = await execute(
        process.execPath,
        ['--import', join(root, 'node_modules/tsx/dist/esm/index.mjs'), 'ten-lines.ts'],
        { cwd: folder },
      )
      assert.equal(stdout, 'a mail to ada@example.com, attempt 1\n')
      assert.equal(stderr, '')
    }
  })

  test('the README keeps within 120 lines, and so does its translation', async () => {
    for (const document of ['README.md', 'README.zh-CN.md']) {
      const lines = (await readFile(join(root, document), 'utf8')).split('\n').length
      assert(lines <= 120, `${document} has ${lines}`)
    }
  })

  test('links within the repository lead somewhere, and that is in the package too', async () => {
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { files: string[] }
    // npm takes READMEs by itself.
    const isPacked = (path: string): boolean =>
      path.startsWith('README') || manifest.files.some((name) => path === name || path.startsWith(`${name}/`))
    for (const document of await documents()) {
      const markdown = await readFile(join(root, document), 'utf8')
      for (const [, target = ''] of markdown.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
        if (/^https?:/.test(target)) continue
        const path = new URL(target, `file://${join(root, document)}`)
        await assert.doesNotReject(readFile(path), `${document} links to ${target}`)
        const packed = relative(root, fileURLToPath(path))
        assert(isPacked(packed), `${document} links to ${target}, which is not packed`)
      }
    }
  })

  test('every error code is in docs/errors.md, and no other', async () => {
    const source = await readFile(join(root, 'src/model/errors.ts'), 'utf8')
    const codes = [...source.matchAll(/^ {2}([A-Z_]+): \{ reply/gm)].map((match) => match[1])
    const document = await readFile(join(root, 'docs/errors.md'), 'utf8')
    const described = [...document.matchAll(/^\| `([A-Z_]+)`/gm)].map((match) => match[1])
    assert(codes.length > 20)
    assert.deepEqual(new Set(described), new Set(codes))
  })
})
