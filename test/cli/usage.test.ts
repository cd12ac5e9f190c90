import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startBroker } from '../../src/server/index.ts'
import { millrace, shell } from './harness.ts'

describe('usage', () => {
  test('without a command it prints the help and fails', async () => {
    const { code, output, errors } = await millrace([])
    assert.equal(code, 2)
    assert.equal(output, '')
    assert.match(errors, /Usage: millrace/)
  })

  test('--help and --version go to the output and succeed', async () => {
    const help = await millrace(['--help'])
    assert.equal(help.code, 0)
    assert.match(help.output, /Exit codes/)
    const version = await millrace(['--version'])
    assert.equal(version.code, 0)
    assert.match(version.output, /^\d+\.\d+\.\d+/)
  })

  const commands = ['send', 'consume', 'peek', 'queues', 'stats', 'purge', 'redrive', 'move', 'doctor']
  for (const command of commands) {
    test(`${command} --help has an example and the options of all commands`, async () => {
      const { code, output } = await millrace([command, '--help'])
      assert.equal(code, 0)
      assert.match(output, new RegExp(`\\$ millrace ${command} `))
      assert.match(output, /--url <url>/)
    })
  }

  test('a mistyped command or option names the near one', async () => {
    const command = await millrace(['sned', 'q', '1'])
    assert.equal(command.code, 2)
    assert.match(command.errors, /^millrace: unknown command 'sned'\n\(Did you mean send\?\)/)
    const option = await millrace(['peek', 'q', '--sate', 'dead'])
    assert.equal(option.code, 2)
    assert.match(option.errors, /Did you mean --state/)
  })

  const wrong: [line: string, says: RegExp][] = [
    ['send', /missing required argument 'queue'/],
    ['send q 1 2', /too many arguments/],
    ['send q 1 --priority 256', /whole number from 0 to 255/],
    ['send q 1 --priority x', /whole number/],
    ['send q 1 --count 0', /whole number from 1/],
    ['send q 1 --delay soon', /'250ms', '5s'/],
    ['send q 1 --delay -5s', /'250ms', '5s'/],
    ['send q 1 --header tenant', /name=value/],
    ['send q 1 --lines', /leave out the data/],
    ['send q 1 --count 2 --id a', /--id names one message/],
    ['send q --lines --count 2', /cannot be used with/],
    ['send q {a:1}', /the data is not JSON: .*--text/],
    ['peek q --state gone', /Allowed choices are ready, delayed, unacked, dead/],
    ['peek q --limit 0', /whole number from 1/],
    ['consume q --no-ack --follow', /use one of them/],
    ['consume q --no-ack --count 1001', /at most 1000/],
    ['stats q --interval 1', /100ms or more/],
    ['purge q', /give --yes/],
    ['move a a', /two different queues/],
  ]
  for (const [line, says] of wrong) {
    test(`'${line}' is wrong usage, and nothing is done`, async () => {
      const { sh } = await shell()
      const { code, output, errors } = await sh(line)
      assert.equal(code, 2)
      assert.equal(output, '')
      assert.match(errors, /^millrace: /)
      assert.match(errors, says)
      assert.doesNotMatch(errors, /\n {4}at /, 'no stack')
    })
  }
})

describe('the engine', () => {
  test('without --url and MQ_URL it is the broker on this machine', async () => {
    await using broker = await startBroker({ port: 0 })
    assert.equal((await millrace(['send', 'q', '1', '--declare'], { broker: broker.url })).code, 0)
    const { code, output } = await millrace(['consume', 'q'], { broker: broker.url })
    assert.equal(code, 0)
    assert.match(output, /1/)
  })

  test('where there is none it says to give a URL, or to start one', async () => {
    for (const environment of [{}, { MQ_URL: '' }]) {
      const { code, errors } = await millrace(['queues'], { environment })
      assert.equal(code, 2)
      assert.match(
        errors,
        /no broker answers .*amqp:.* --url file:\.\/data, set MQ_URL, or start .*millrace serve/,
      )
    }
  })

  test('an empty --url is a mistake, and not the broker on this machine', async () => {
    await using broker = await startBroker({ port: 0 })
    for (const environment of [{}, { MQ_URL: broker.url }]) {
      const { code, errors } = await millrace(['queues', '--url', ''], { environment, broker: broker.url })
      assert.equal(code, 2)
      assert.match(errors, /--url is empty/)
    }
  })

  test('--url goes before MQ_URL, in front of the command or after it', async () => {
    const { sh } = await shell()
    for (const line of ['--url nope:x queues', 'queues --url nope:x']) {
      const { code, errors } = await sh(line)
      assert.equal(code, 2)
      assert.match(errors, /no engine for 'nope:'.*\(UNKNOWN_SCHEME\)/)
    }
  })

  test('a data folder that is missing is an error, not made', async () => {
    const { sh } = await shell()
    const { code, errors } = await sh('queues')
    assert.equal(code, 3)
    assert.match(errors, /There is no data folder .*\(NOT_FOUND\)/)
    assert.equal((await sh('queues')).code, 3)
  })

  test('an invalid name is wrong usage, a missing queue is not found', async () => {
    const { sh } = await shell()
    assert.equal((await sh('send q 1 --declare')).code, 0)
    assert.equal((await sh(['peek', 'q'.repeat(256)])).code, 2)
    for (const line of [
      'send p 1',
      'consume p',
      'peek p',
      'stats p',
      'purge p --yes',
      'redrive p',
      'move p q',
      'move q p',
    ]) {
      const { code, output, errors } = await sh(line)
      assert.equal(code, 3, `${line}: ${errors}`)
      assert.equal(output, '')
      assert.match(errors, /NOT_FOUND/)
    }
  })

  test('a stack is shown only with --debug or MILLRACE_DEBUG', async () => {
    const { sh } = await shell()
    assert.doesNotMatch((await sh('queues')).errors, /\n {4}at /)
    assert.match((await sh('queues --debug')).errors, /\n {4}at /)
    assert.match((await sh('queues', { environment: { MILLRACE_DEBUG: '1' } })).errors, /\n {4}at /)
  })

  test('what recovery warns of is told, once', async () => {
    const { folder, sh } = await shell()
    const input = Array.from({ length: 2_000 }, (_, index) => `${index}\n`).join('')
    await sh('send q --lines --declare', { input })
    const log = join(folder, 'data/log/0000000001.log')
    const bytes = await readFile(log)
    await writeFile(log, bytes.fill(0xff, bytes.length / 2, bytes.length / 2 + 100))
    const { code, errors } = await sh('queues')
    assert.equal(code, 0)
    assert.match(errors, /^millrace: warning: .*is damaged.*quarantine/)
    assert.equal((await sh('queues')).errors, '')
  })

  test('namespaces are apart', async () => {
    const { sh } = await shell()
    await sh('send q 1 --declare')
    assert.equal((await sh('peek q --namespace other')).code, 3)
    await sh('send q 2 --declare --namespace other')
    assert.equal((await sh('consume q')).output, '1\n')
    assert.equal((await sh('consume q --namespace other')).output, '2\n')
  })
})
