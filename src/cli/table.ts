/** Rows as aligned columns: text to the left, figures to the right; on a terminal, each on one line. */
import type { Terminal } from './terminal.ts'

type Cell = string | number

/** For a figure that the engine cannot tell. */
export const unknownFigure = '–'

export function table(
  terminal: Terminal,
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
): string[] {
  const widths = header.map((title, column) =>
    rows.reduce((width, row) => Math.max(width, text(row[column]).length), title.length),
  )
  const numeric = header.map((_title, column) => rows.some((row) => typeof row[column] === 'number'))
  const line = (cells: readonly Cell[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return numeric[column] === true ? text(cell).padStart(width) : text(cell).padEnd(width)
      })
      .join('  ')
      .trimEnd()
  const [first = '', ...others] = [line(header), ...rows.map(line)].map((made) => cut(made, terminal.columns))
  return [terminal.style('dim', first), ...others]
}

function cut(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, columns - 1)}…`
}

function text(cell: Cell | undefined): string {
  return typeof cell === 'number' ? cell.toLocaleString('en') : (cell ?? '')
}
