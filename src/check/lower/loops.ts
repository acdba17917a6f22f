/**
 * Counts the turns of the loops of a module: one that goes round and round without a switch point holds the only thread,
 * and nobody else could end it. Text in, text out.
 *
 * R1 Lines stay where they are; columns do not.
 * R2 In the native build turns are counted for each time that a loop is entered: one with switch points ends a run long
 *    before by these. In a lowered text they are counted in `frames/runtime`, for each step: there they are no state.
 */
import { childrenOf, isLoop, parseModule } from './syntax.ts'
import type { Node } from './syntax.ts'
import type { Locate } from './lower.ts'

/** Turns after which a loop is called endless: some milliseconds. */
const MOST_TURNS = 1_000_000

interface Edit {
  readonly at: number
  readonly text: string
}

/**
 * @param errors the module specifier of `base`, whose error a loop without an end throws
 * @param runtime the module specifier of `frames/runtime`, for a text that is to be lowered; null for the native build
 * @param locate positions of the source; without it the error has that of the text
 * @throws LowerError when the text is no module
 */
export function countTurns(
  code: string,
  file: string,
  errors: string,
  runtime: string | null,
  locate: Locate = () => null,
): string {
  const edits: Edit[] = []
  let loops = 0
  const visit = (node: Node, outermost: Node): void => {
    if (node.type === 'LabeledStatement') {
      visit(node.body, outermost)
      return
    }
    if (isLoop(node)) {
      const own = `$turns${loops++}`
      const counter = runtime === null ? own : '$running.turns'
      const { line, column } = locate(node.loc.start.line, node.loc.start.column) ?? node.loc.start
      const what = `no end: a loop without a switch point, at ${file}:${line}:${column + 1}`
      const check = `if (++${counter} > ${MOST_TURNS}) throw new $KernelBug(${JSON.stringify(what)}, 'I11');`
      edits.push(
        { at: outermost.start, text: runtime === null ? `{ let ${own} = 0; ` : '{ ' },
        { at: node.body.start, text: `{ ${check} ` },
      )
      for (const child of childrenOf(node)) visit(child, child)
      edits.push({ at: node.body.end, text: ' }' }, { at: outermost.end, text: ' }' })
      return
    }
    for (const child of childrenOf(node)) visit(child, child)
  }
  const tree = parseModule(code, file)
  visit(tree, tree)
  if (loops === 0) return code
  // Edits at one place are in the order in which they were made: what is outside comes first and ends last.
  const counter = runtime === null ? '' : `import { running as $running } from ${JSON.stringify(runtime)}; `
  let text = `${counter}import { KernelBug as $KernelBug } from ${JSON.stringify(errors)}; `
  let from = 0
  for (const { at, text: inserted } of edits.toSorted((a, b) => a.at - b.at)) {
    text += code.slice(from, at) + inserted
    from = at
  }
  return text + code.slice(from)
}
