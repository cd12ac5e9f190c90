/**
 * A line into a running Erlang node: a second node, kept open, that evaluates there what it reads. Milliseconds where
 * rabbitmqctl takes seconds. It outlives the server; when this process dies, however it dies, the control node reads the
 * end of its input and takes the server and its epmd along.
 */
import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const program = (node: string, epmdPort: number): string => `
  io:setopts([{encoding, unicode}]),
  Loop = fun(Again) ->
    case io:get_line("") of
      Line when is_list(Line) ->
        Reply = try
          {ok, Tokens, _} = erl_scan:string(Line),
          {ok, Expressions} = erl_parse:parse_exprs(Tokens),
          case rpc:call('${node}', erl_eval, exprs, [Expressions, []], 100000) of
            {value, Value, _} -> {ok, Value};
            Bad -> {error, Bad}
          end
        catch _:Reason -> {error, Reason}
        end,
        io:format("~0tp~n", [Reply]),
        Again(Again);
      _ ->
        rpc:call('${node}', erlang, halt, [], 1000),
        os:cmd("epmd -port ${epmdPort} -kill"),
        halt()
    end
  end,
  Loop(Loop).`

export class ErlangControl {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #waiting: ((line: string) => void)[] = []

  constructor(options: { node: string; epmdPort: number; env: NodeJS.ProcessEnv }) {
    const name = options.node.replace('@', '-control@')
    const words = ['-noshell', '-hidden', '-sname', name, '-eval', program(options.node, options.epmdPort)]
    this.#child = spawn('erl', words, { env: options.env, stdio: 'pipe' })
    this.#child.stdin.on('error', () => undefined)
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#waiting.shift()?.(line))
    this.#child.on('exit', () => {
      for (const answer of this.#waiting.splice(0)) answer('{error,control_node_ended}')
    })
  }

  /** Evaluates an expression on the server; its value as Erlang prints it. */
  async evaluate(expression: string): Promise<string> {
    const answer = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve)
      this.#child.stdin.write(`${expression.replaceAll('\n', ' ').replace(/\.?\s*$/, '.')}\n`)
    })
    const ok = /^\{ok,(?<value>.*)\}$/.exec(answer)
    if (ok === null) throw new Error(`the server did not evaluate ${expression}: ${answer}`)
    return ok.groups?.['value'] ?? ''
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return
    this.#child.stdin.end()
    await once(this.#child, 'exit')
  }
}
