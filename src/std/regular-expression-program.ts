/** From the tree of a regular expression to instructions. Part of regular-expression.ts. */
import type { CharacterSet, Edge, ExpressionNode } from './regular-expression-parser.ts'

/** Where no other is named, the next instruction follows. Steps are relative. */
export type Instruction =
  | { readonly type: 'set'; readonly has: CharacterSet }
  | { readonly type: 'split'; readonly first: number; readonly second: number }
  | { readonly type: 'edge'; readonly edge: Edge }
  | { readonly type: 'look'; readonly program: Program; readonly negative: boolean }
  | { readonly type: 'found' }

export type Program = readonly Instruction[]

const maximumInstructions = 10_000

/** Throws SyntaxError for what would become too large. */
export function compileProgram(tree: ExpressionNode): Program {
  const room = { left: maximumInstructions }
  return compile(tree, room)
}

interface Room {
  left: number
}

function compile(tree: ExpressionNode, room: Room): Program {
  const program: Instruction[] = []
  emit(tree, program, room)
  push(program, { type: 'found' }, room)
  return program
}

function emit(node: ExpressionNode, program: Instruction[], room: Room): void {
  switch (node.type) {
    case 'set':
      return push(program, { type: 'set', has: node.has }, room)
    case 'edge':
      return push(program, { type: 'edge', edge: node.edge }, room)
    case 'look':
      return push(program, { type: 'look', program: compile(node.node, room), negative: node.negative }, room)
    case 'sequence':
      for (const part of node.nodes) emit(part, program, room)
      return
    case 'choice':
      return emitChoice(node.nodes, program, room)
    case 'repeat':
      return emitRepeat(node, program, room)
  }
}

/** `split first, next; first...; jump end; next: split ...; end:` */
function emitChoice(nodes: readonly ExpressionNode[], program: Instruction[], room: Room): void {
  const ends: number[] = []
  nodes.forEach((node, index) => {
    if (index === nodes.length - 1) return emit(node, program, room)
    const split = reserve(program, room)
    emit(node, program, room)
    ends.push(reserve(program, room))
    program[split] = { type: 'split', first: 1, second: program.length - split }
  })
  for (const end of ends) {
    program[end] = { type: 'split', first: program.length - end, second: program.length - end }
  }
}

function emitRepeat(
  { node, minimum, maximum }: Extract<ExpressionNode, { type: 'repeat' }>,
  program: Instruction[],
  room: Room,
): void {
  for (let count = 0; count < minimum; count += 1) {
    // An instruction of its own each time, so that nothing repeated a million times is too large as well.
    push(program, next, room)
    emit(node, program, room)
  }
  if (maximum === Infinity) {
    const split = reserve(program, room)
    emit(node, program, room)
    push(program, { type: 'split', first: split - program.length, second: split - program.length }, room)
    program[split] = { type: 'split', first: 1, second: program.length - split }
    return
  }
  const splits: number[] = []
  for (let count = minimum; count < maximum; count += 1) {
    splits.push(reserve(program, room))
    emit(node, program, room)
  }
  for (const split of splits) program[split] = { type: 'split', first: 1, second: program.length - split }
}

const next: Instruction = { type: 'split', first: 1, second: 1 }

/** A place for an instruction that is known later. */
function reserve(program: Instruction[], room: Room): number {
  push(program, next, room)
  return program.length - 1
}

function push(program: Instruction[], instruction: Instruction, room: Room): void {
  room.left -= 1
  if (room.left < 0) throw new SyntaxError('regular expression is too large')
  program.push(instruction)
}
