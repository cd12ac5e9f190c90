/** The board of the flash sale: live figures, redrawn in place on a terminal and one line a second elsewhere. */
import { styleText } from 'node:util'

export interface Figures {
  readonly buyers: number
  readonly items: number
  readonly arrived: number
  readonly stock: number
  readonly reserved: number
  readonly paid: number
  readonly expired: number
  readonly turnedAway: number
}

const width = 40
const live = process.stdout.isTTY

export class Board {
  readonly intervalMs = live ? 100 : 1_000
  #drawn = 0

  constructor(url: string) {
    console.log(`\n  ${bold('Flash sale')} on ${url}\n`)
  }

  show(figures: Figures, ready: number, delayed: number): void {
    const { buyers, items, arrived, stock, reserved, paid, expired, turnedAway } = figures
    if (!live) {
      console.log(
        `  arrived ${arrived}  paid ${paid}  reserved ${reserved}  stock ${stock}  ` +
          `expired ${expired}  turned away ${turnedAway}  ready ${ready}  delayed ${delayed}`,
      )
      return
    }
    const lines = [
      `  buyers   ${bar([[arrived / buyers, 'cyan']])}  ${number(arrived)} of ${number(buyers)} have come`,
      `  items    ${bar([
        [paid / items, 'green'],
        [reserved / items, 'yellow'],
      ])}  ${green(`${number(paid)} paid`)}, ${yellow(`${number(reserved)} reserved`)}, ${number(stock)} in stock`,
      '',
      `  ${number(expired)} did not pay in time, and their items went back; ${number(turnedAway)} were turned away`,
      `  in the queues: ${number(ready)} ready, ${number(delayed)} delayed`,
    ]
    // Up to the first line of the last drawing, and each line cleared to its end.
    const up = this.#drawn === 0 ? '' : `\u001b[${this.#drawn}A`
    process.stdout.write(up + lines.map((line) => `${line}\u001b[K\n`).join(''))
    this.#drawn = lines.length
  }

  /** One of the sums at the end; a wrong one makes the program fail. */
  check(ok: boolean, text: string): void {
    if (this.#drawn > 0) console.log()
    this.#drawn = 0
    console.log(`  ${ok ? green('✔') : red('✘')} ${text}`)
    if (!ok) process.exitCode = 1
  }
}

/** Parts of 1, each in its colour, one after another. */
function bar(parts: readonly (readonly [part: number, colour: 'cyan' | 'green' | 'yellow'])[]): string {
  let left = width
  let drawn = ''
  for (const [part, colour] of parts) {
    const length = Math.min(left, Math.round(part * width))
    left -= length
    drawn += styleText(colour, '█'.repeat(length))
  }
  return drawn + styleText('dim', '░'.repeat(left))
}

const colour =
  (name: 'bold' | 'green' | 'yellow' | 'red') =>
  (text: string): string =>
    live ? styleText(name, text) : text
const bold = colour('bold')
const green = colour('green')
const yellow = colour('yellow')
const red = colour('red')

function number(value: number): string {
  return value.toLocaleString('en')
}
