/**
 * Intervals by position, and which of them overlap a range (Linux lib/interval_tree.c; here a treap, whose shape
 * depends on the keys alone and so is the same in every run).
 *
 * R1 Ordered by (start, id); every node knows the greatest `last` below it.
 * R2 Finding k overlapping intervals of n visits O(k log n) nodes, finding none O(log n).
 */

/** A closed interval [start, last], linked into at most one tree. */
export class IntervalNode {
  /** Immutable while linked. */
  start = 0
  last = 0
  /** Distinguishes intervals that start together. Immutable while linked. */
  id = 0
  isLinked = false
  /** Used by the tree alone. */
  left: IntervalNode | null = null
  right: IntervalNode | null = null
  maxLast = 0
}

/** A number that looks random but depends on the key alone: keeps the tree balanced. */
function priority(node: IntervalNode): number {
  let hash = Math.imul(node.id ^ Math.floor(node.start / 4096), 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}

const isBefore = (a: IntervalNode, b: IntervalNode): boolean =>
  a.start < b.start || (a.start === b.start && a.id < b.id)

/** What the last query cost. Opaque. */
class QueryCost {
  static readonly opaque = true
  /** Nodes looked at. */
  visited = 0
}

export class IntervalTree {
  root: IntervalNode | null = null
  size = 0
  readonly cost: QueryCost = new QueryCost()

  insert(node: IntervalNode): void {
    node.left = null
    node.right = null
    node.maxLast = node.last
    node.isLinked = true
    this.root = insertBelow(this.root, node)
    this.size++
  }

  remove(node: IntervalNode): void {
    this.root = removeBelow(this.root, node)
    node.left = null
    node.right = null
    node.isLinked = false
    this.size--
  }

  /** All intervals that share a byte with [start, last], in order. */
  overlapping(start: number, last: number): readonly IntervalNode[] {
    const found: IntervalNode[] = []
    this.cost.visited = 0
    this.collect(this.root, start, last, found)
    return found
  }

  private collect(node: IntervalNode | null, start: number, last: number, found: IntervalNode[]): void {
    if (node === null || node.maxLast < start) return
    this.cost.visited++
    this.collect(node.left, start, last, found)
    if (node.start > last) return
    if (node.last >= start) found.push(node)
    this.collect(node.right, start, last, found)
  }
}

function refresh(node: IntervalNode): IntervalNode {
  node.maxLast = Math.max(node.last, node.left?.maxLast ?? -1, node.right?.maxLast ?? -1)
  return node
}

function insertBelow(root: IntervalNode | null, node: IntervalNode): IntervalNode {
  if (root === null) return node
  if (priority(node) > priority(root)) {
    split(root, node)
    return refresh(node)
  }
  if (isBefore(node, root)) root.left = insertBelow(root.left, node)
  else root.right = insertBelow(root.right, node)
  return refresh(root)
}

/** Divides a tree at `node`, and makes the halves its children. */
function split(root: IntervalNode | null, node: IntervalNode): void {
  if (root === null) {
    node.left = null
    node.right = null
    return
  }
  if (isBefore(root, node)) {
    split(root.right, node)
    root.right = node.left
    node.left = refresh(root)
  } else {
    split(root.left, node)
    root.left = node.right
    node.right = refresh(root)
  }
}

function removeBelow(root: IntervalNode | null, node: IntervalNode): IntervalNode | null {
  if (root === null) return null
  if (root === node) return merge(root.left, root.right)
  if (isBefore(node, root)) root.left = removeBelow(root.left, node)
  else root.right = removeBelow(root.right, node)
  return refresh(root)
}

/** Joins two trees, the first wholly before the second. */
function merge(a: IntervalNode | null, b: IntervalNode | null): IntervalNode | null {
  if (a === null) return b
  if (b === null) return a
  if (priority(a) > priority(b)) {
    a.right = merge(a.right, b)
    return refresh(a)
  }
  b.left = merge(a, b.left)
  return refresh(b)
}
