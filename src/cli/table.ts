/** Rows as aligned columns: text to the left, figures to the right. */
import type { Terminal } from './terminal.ts'

export type Cell = string | number

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
  return [terminal.style('dim', line(header)), ...rows.map(line)]
}

function text(cell: Cell | undefined): string {
  return typeof cell === 'number' ? cell.toLocaleString('en') : (cell ?? '')
}
