/** `millrace serve` and `add_user`, in processes of their own where signals matter. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { connect } from 'amqplib'
import { ended, jsonLines, listening, millrace, newFolder, spawnMillrace } from './harness.ts'

/** A serving process, and where it says it listens. */
async function serve(t: TestContext, ...argv: readonly string[]) {
  const child = spawnMillrace(['serve', '--port', '0', '--log-format', 'json', ...argv], '')
  const done = ended(child)
  t.after(async () => {
    child.kill('SIGKILL')
    await done
  })
  const url = await listening(child)
  return { child, done, url }
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`serve says where it listens, and ends with 0 at ${signal}`, async (t) => {
    const { child, done, url } = await serve(t, '--data', await newFolder())
    const connection = await connect(url)
    const closed = new Promise<Error>((resolve) => connection.once('close', resolve))
    child.kill(signal)
    assert.match(
      (await closed).message,
      /CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'/,
    )
    const { code, errors, output } = await done
    assert.equal(code, 0)
    assert.equal(output, '')
    assert.deepEqual(
      jsonLines(errors).map((line) => line['event']),
      ['listening', 'connection opened', 'stopping', 'connection closed', 'stopped'],
    )
  })
}

test('a folder in use, a port in use: an error and code 1', async (t) => {
  const folder = await newFolder()
  const { url } = await serve(t, '--data', folder)
  const taken = await millrace(['serve', '--data', folder, '--port', '0'])
  assert.equal(taken.code, 1)
  assert.match(taken.errors, /DIRECTORY_LOCKED/)
  const port = new URL(url).port
  const busy = await millrace(['serve', '--memory', '--port', port])
  assert.equal(busy.code, 1)
  assert.match(busy.errors, /cannot listen on 127\.0\.0\.1:\d+: it is in use.*\(ADDRESS_UNUSABLE\)/)
})

test('a host that others reach is refused until there is a user, and the error says how to make one', async (t) => {
  const folder = await newFolder()
  const refused = await millrace(['serve', '--data', folder, '--port', '0', '--host', '0.0.0.0'])
  assert.equal(refused.code, 2)
  assert.match(refused.errors, /millrace add_user NAME --data DIR/)
  const made = await millrace(['add_user', 'app', '--data', folder], { input: 'secret\n' })
  assert.deepEqual({ code: made.code, output: made.output }, { code: 0, output: '' })
  const { url } = await serve(t, '--data', folder, '--host', '0.0.0.0')
  const { port } = new URL(url)
  await (await connect(`amqp://app:secret@127.0.0.1:${port}`)).close()
  await assert.rejects(connect(`amqp://app:wrong@127.0.0.1:${port}`), /ACCESS_REFUSED/)
  await assert.rejects(connect(`amqp://guest:guest@127.0.0.1:${port}`), /ACCESS_REFUSED/)
})

test('the command line beats the configuration, whose paths are relative to it', async (t) => {
  const folder = await newFolder()
  const config = join(folder, 'millrace.json')
  await writeFile(
    config,
    JSON.stringify({ data: 'messages', port: 1, log: { level: 'error', format: 'text' } }),
  )
  const { url } = await serve(t, '--config', config, '--log-level', 'info')
  assert.notEqual(new URL(url).port, '1')
})

test('a wrong configuration is told by name, with what it takes and what was given; nothing is started', async () => {
  const config = join(await newFolder(), 'millrace.json')
  const text = 'must be a string that is not empty'
  const flag = 'must be true or false'
  const port = 'must be a whole number from 0 to 65535'
  const cases = [
    ['{"data": ""}', `data ${text}, not ''`],
    ['{"memory": "yes"}', `memory ${flag}, not 'yes'`],
    ['{"host": ["::"]}', `host ${text}, not an array`],
    ['{"port": "x"}', `port ${port}, not 'x'`],
    ['{"port": null}', `port ${port}, not null`],
    ['{"socket": true}', `socket ${text}, not true`],
    ['{"wsPort": 65536}', `wsPort ${port}, not 65536`],
    ['{"wsOrigin": "a"}', `wsOrigin must be a list of strings, such as ["https://shop.example"], not 'a'`],
    ['{"wsOrigin": [1]}', 'wsOrigin must be a list of strings'],
    ['{"tls": "cert.pem"}', "tls: options must be an object, not 'cert.pem'"],
    ['{"tls": null}', 'tls: options must be an object, not null'],
    ['{"tls": {"cert": 1}}', `tls: cert ${text}, not 1`],
    ['{"tls": {"key": 1}}', `tls: key ${text}, not 1`],
    ['{"tls": {"ca": 1}}', `tls: ca ${text}, not 1`],
    ['{"proxyProtocol": 1}', `proxyProtocol ${flag}, not 1`],
    ['{"log": {"format": "xml"}}', "log: format must be one of 'text', 'json', not 'xml'"],
    [
      '{"log": {"level": "warning"}}',
      "log: level must be one of 'debug', 'info', 'warn', 'error', not 'warning'",
    ],
    [
      '{"limits": {"frameBytes": 1}}',
      'limits: frameBytes must be a whole number from 4096 to 4294967295, not 1',
    ],
    // It would be over after a millisecond.
    [
      '{"limits": {"closeTimeoutMs": 2147483648}}',
      'limits: closeTimeoutMs must be a whole number from 0 to 2147483647, not 2',
    ],
    ['{"limits": {"connections": "1"}}', "limits: connections must be a whole number from 0, not '1'"],
    ['{"limits": {"connections": 0.5}}', 'limits: connections must be a whole number from 0, not 0.5'],
    // Unknown names: the nearest, else all of them.
    ['{"prot": 1}', 'unknown option prot; did you mean port?'],
    ['{"pot": 1}', 'unknown option pot; did you mean port?'],
    ['{"limits": {"frames": 1}}', 'limits: unknown option frames; it takes connections, channels, '],
    ['{"tlsCert": "c"}', 'unknown option tlsCert; it takes data, memory, '],
    ['{"tls.cert": "c"}', 'unknown option tls.cert; it takes data, memory, '],
    ['{"__proto__": 1}', 'unknown option __proto__; it takes data, memory, '],
  ] as const
  for (const [written, expected] of cases) {
    await writeFile(config, written)
    const { code, errors } = await millrace(['serve', '--memory', '--config', config])
    assert.equal(code, 2, written)
    assert.ok(errors.startsWith(`millrace: ${config}: ${expected}`), `${written}: ${errors}`)
  }
  for (const [written, expected] of [
    ['{"data": "x", "memory": true}', /millrace.json: give 'data' or 'memory', not both/],
    ['{"wsOrigin": ["*"]}', /--ws-origin needs --ws-port \(wsOrigin and wsPort in the configuration\)/],
    ['{"tls": {"cert": "c"}}', /together \(tls.cert and tls.key in the configuration\)/],
    ['{"tls": {"ca": "c"}}', /needs .* \(tls.cert and tls.key in the configuration\)/],
    ['[]', /is no JSON object/],
    ['{', /cannot read the configuration/],
  ] as const) {
    await writeFile(config, written)
    const { code, errors } = await millrace(['serve', '--memory', '--config', config])
    assert.equal(code, 2, written)
    assert.match(errors, expected)
  }
})

test('files that are no certificates are refused', async () => {
  const folder = await newFolder()
  const bad = join(folder, 'bad.pem')
  await writeFile(bad, 'garbage')
  for (const argv of [
    ['--tls-cert', bad, '--tls-key', bad],
    ['--tls-cert', bad, '--tls-key', bad, '--tls-ca', bad],
  ]) {
    const { code, errors } = await millrace(['serve', '--memory', '--port', '0', ...argv])
    assert.equal(code, 2, errors)
    assert.match(errors, argv.includes('--tls-ca') ? /bad\.pem holds no certificate/ : /\(INVALID_OPTION\)/)
    assert.doesNotMatch(errors, /unexpected/)
  }
})

test('options that contradict each other are refused', async () => {
  for (const argv of [
    ['--data', 'x', '--memory'],
    ['--memory', '--tls-cert', 'c.pem'],
    ['--memory', '--tls-ca', 'c.pem'],
    ['--memory', '--port', '70000'],
    ['--memory', '--log-level', 'loud'],
    ['--memory', '--ws-origin', 'https://shop.example'],
    ['--url', 'memory:', '--port', '0'],
    ['--memory', '--namespace', 'shop', '--port', '0'],
  ]) {
    assert.equal((await millrace(['serve', ...argv])).code, 2, argv.join(' '))
  }
})
