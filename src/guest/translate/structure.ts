/**
 * From a control-flow graph to nested sequences and loops, the only control flow that WebAssembly has.
 *
 * Strongly connected components, outermost first; of each, the edges back to its header are taken away, and what remains
 * is structured in the same way. Forward edges are branches to the end of a block.
 *
 * R1 A loop has one header, to which its back edges go. Whatever else it is entered at is reached through its header: its
 *    dispatcher looks at the label with which it was entered.
 * R2 In a sequence every edge goes forward.
 */

export interface BlockShape {
  readonly kind: 'block'
  readonly block: number
}

export interface LoopShape {
  readonly kind: 'loop'
  readonly header: number
  /** Blocks of the loop, other than the header, that it may be entered at. */
  readonly others: readonly number[]
  /** Begins with the header. */
  readonly body: readonly Shape[]
}

export type Shape = BlockShape | LoopShape

/**
 * Structures a graph.
 * @param successors of each node
 * @param entries nodes that are entered from outside; the first is the preferred header
 */
export function structure(successors: readonly (readonly number[])[], entries: readonly number[]): readonly Shape[] {
  const nodes = successors.map((_, node) => node)
  return new Structurer(successors).sequence(nodes, entries, -1)
}

class Structurer {
  private readonly successors: readonly (readonly number[])[]
  /** The subgraph that a node belongs to at the moment. */
  private readonly region: Int32Array
  private regions = 0

  constructor(successors: readonly (readonly number[])[]) {
    this.successors = successors
    this.region = new Int32Array(successors.length)
  }

  /** @param cut the header whose incoming edges do not count, -1 for none */
  sequence(nodes: readonly number[], entries: readonly number[], cut: number): readonly Shape[] {
    const region = ++this.regions
    for (const node of nodes) this.region[node] = region
    const components = this.components(nodes, region, cut)
    const component = new Int32Array(this.successors.length).fill(-1)
    for (const [index, members] of components.entries()) for (const node of members) component[node] = index
    // Nodes that an edge from another component of this region goes to.
    const entered = new Uint8Array(this.successors.length)
    for (const node of nodes) {
      for (const next of this.successors[node] as readonly number[]) {
        if (next !== cut && component[next] !== -1 && component[next] !== component[node]) entered[next] = 1
      }
    }
    const shapes: Shape[] = []
    for (const members of components) {
      const [only] = members as [number]
      if (members.length === 1 && (only === cut || !(this.successors[only] as readonly number[]).includes(only))) {
        shapes.push({ kind: 'block', block: only })
        continue
      }
      const doors = members.filter((node) => entered[node] === 1 || entries.includes(node))
      const header = doors.find((node) => entered[node] === 1) ?? entries.find((node) => doors.includes(node)) ?? only
      const others = doors.filter((node) => node !== header)
      shapes.push({ kind: 'loop', header, others, body: this.sequence(members, [header, ...others], header) })
    }
    const first = shapes.findIndex((shape) => shape.kind === 'block' && shape.block === cut)
    if (first > 0) shapes.unshift(...shapes.splice(first, 1))
    return shapes
  }

  /** Strongly connected components in topological order (Tarjan), each sorted. */
  private components(nodes: readonly number[], region: number, cut: number): number[][] {
    const size = this.successors.length
    const order = new Int32Array(size)
    const low = new Int32Array(size)
    const onStack = new Uint8Array(size)
    const stack: number[] = []
    const found: number[][] = []
    let time = 0
    const open = (node: number): void => {
      order[node] = low[node] = ++time
      stack.push(node)
      onStack[node] = 1
    }
    const close = (node: number): void => {
      if (low[node] !== order[node]) return
      const members = stack.splice(stack.indexOf(node))
      for (const member of members) onStack[member] = 0
      found.push(members.toSorted((a, b) => a - b))
    }
    for (const root of nodes) {
      if (order[root] !== 0) continue
      const path = [root]
      const places = [0]
      open(root)
      while (path.length > 0) {
        const node = path[path.length - 1] as number
        const place = places[places.length - 1] as number
        const next = (this.successors[node] as readonly number[])[place]
        if (next === undefined) {
          close(node)
          path.pop()
          places.pop()
          const parent = path[path.length - 1]
          if (parent !== undefined) low[parent] = Math.min(low[parent] as number, low[node] as number)
          continue
        }
        places[places.length - 1] = place + 1
        if (next === cut || this.region[next] !== region) continue
        if (order[next] === 0) {
          open(next)
          path.push(next)
          places.push(0)
        } else if (onStack[next] === 1) {
          low[node] = Math.min(low[node] as number, order[next] as number)
        }
      }
    }
    return found.toReversed()
  }
}
