/**
 * The body of one lowered function: numbered instructions, try regions, and which variables live where.
 *
 * R1 A label begins a case of the machine's switch; its number is the frame's program counter from there on.
 * R2 Liveness errs on the side of life: a name that occurs in a text counts as used.
 */
import type { Position } from './syntax.ts'

/** Line from 1, column from 0. */
export type Place = readonly [line: number, column: number]

/** One async function, as the frames' runtime sees it. Plain JSON. */
export interface Site {
  readonly name: string
  /** Names of the variables that its frame carries, in the order of the frame's list. */
  readonly locals: readonly string[]
  /** By program counter: line (from 1) and column (from 0); after a suspension those of its `await`. */
  readonly places: readonly Place[]
  /** Where it returns a call that it does not await: `places` of the program counters -1, -2, ... */
  readonly returns: readonly Place[]
  /** By program counter: indices of the locals that may still be read. */
  readonly live: readonly (readonly number[])[]
  /** Innermost first: first program counter, first one after, program counter of the handler. */
  readonly regions: readonly (readonly [number, number, number])[]
  /** Closures hold some of the locals, and may write them while the frame does not run. */
  readonly shared: boolean
}

export interface Label {
  /** Index of its instruction; -1 until it is placed. */
  at: number
  pc: number
}

interface Instruction {
  readonly text: string
  /** What its text reads, when that is less than the text. */
  readonly reads: string
  readonly defines: readonly string[]
  readonly label: Label | null
  readonly jump: Label | null
  /** Control never falls through. */
  readonly stops: boolean
  readonly place: Position
  /** Builds the text once labels have numbers. */
  readonly render?: () => string
}

export class MachineBody {
  /** Where the code that is being emitted comes from. */
  place: Position
  private readonly code: Instruction[] = []
  private readonly regions: { readonly from: Label; readonly to: Label; readonly handler: Label }[] = []
  private readonly locals: string[]
  private readonly hoisted: string[] = []
  private readonly returns: Position[] = []
  private readonly pinned = new Set<string>()
  private temporaries = 0

  constructor(place: Position, params: readonly string[]) {
    this.place = place
    this.locals = [...params]
  }

  /** A variable of the function that its block declared. */
  addLocal(name: string): void {
    this.hoisted.push(name)
    this.locals.push(name)
  }

  /** A variable that closures read at times that the machine cannot see. */
  pin(name: string): void {
    this.pinned.add(name)
  }

  temporary(): string {
    const name = `$${this.temporaries++}`
    this.addLocal(name)
    return name
  }

  newLabel(): Label {
    return { at: -1, pc: -1 }
  }

  placeLabel(label: Label): void {
    label.at = this.code.length
    this.push('', { label })
  }

  emit(text: string, defines: readonly string[] = []): void {
    this.push(text, { defines })
  }

  /** Emits a statement after which control does not go on. */
  emitLast(text: string): void {
    this.push(text, { stops: true })
  }

  assign(name: string, value: string): void {
    this.push(`${name} = ${value};`, { defines: [name], reads: value })
  }

  /** Puts a value into a fresh temporary. */
  save(value: string): string {
    const name = this.temporary()
    this.assign(name, value)
    return name
  }

  /** Returns a value; a call that is returned is waited for, at a program counter below 0. */
  return(value: string): void {
    this.returns.push(this.place)
    this.emitLast(`return $f.ret(${value}, ${-this.returns.length});`)
  }

  jump(label: Label): void {
    this.push('', { jump: label, stops: true, render: () => `{ $f.pc = ${label.pc}; continue; }` })
  }

  branch(condition: string, label: Label): void {
    const render = (): string => `if (${condition}) { $f.pc = ${label.pc}; continue; }`
    this.push('', { jump: label, reads: condition, render })
  }

  /** Waits for a value; what follows begins with a label, and `$f.take()` there is the value or throws. */
  suspend(value: string): void {
    const resume = this.newLabel()
    this.push('', { jump: resume, reads: value, render: () => `if ($f.wait(${value}, ${resume.pc})) return;` })
    this.placeLabel(resume)
  }

  protect(from: Label, to: Label, handler: Label): void {
    this.regions.push({ from, to, handler })
  }

  /** The text of the function's body, and what the runtime needs to know of it. */
  finish(
    name: string,
    siteNumber: number,
    locate: (at: Position) => Place,
  ): { readonly text: string; readonly site: Site } {
    if (this.code.at(-1)?.stops !== true) this.return('undefined')
    let count = 1
    for (const one of this.code) if (one.label !== null) one.label.pc = count++
    const index = new Map(this.locals.map((local, at) => [local, at]))
    const lives = this.liveness(index)
    const places: Place[] = [locate(this.code[0]!.place)]
    const live: number[][] = [this.locals.map((_, at) => at)]
    let text = ''
    for (const [at, one] of this.code.entries()) {
      if (one.label === null) {
        text += ` ${one.render?.() ?? one.text}`
        continue
      }
      places[one.label.pc] = locate(one.place)
      const pinned = [...this.pinned].map((local) => index.get(local)!)
      live[one.label.pc] = [...new Set([...lives[at]!, ...pinned])].toSorted((a, b) => a - b)
      text += `\ncase ${one.label.pc}: $f.pc = ${one.label.pc};`
    }
    const shared = this.pinned.size > 0
    const regions = this.regions.map((one) => [one.from.pc, one.to.pc, one.handler.pc] as const)
    const declare = this.hoisted.length > 0 ? ` let ${this.hoisted.join(', ')};` : ''
    const machine = `$f => { for (;;) switch ($f.pc) { case 0:${text}\n} }`
    const read = this.locals.map((local, at) => ` $v[${at}] = ${local};`).join('')
    const write = this.locals.map((local, at) => ` ${local} = $v[${at}];`).join('')
    const access = `($v, $w) => { if ($v === null) return [${this.locals.join(', ')}]; if ($w) {${write} } else {${read} } }`
    return {
      text: `${declare} return $frame($S, ${siteNumber}, ${machine}, ${access}); `,
      site: { name, locals: this.locals, places, returns: this.returns.map(locate), live, regions, shared },
    }
  }

  private push(text: string, more: Partial<Instruction>): void {
    const plain = { text, reads: text, defines: [], label: null, jump: null, stops: false, place: this.place }
    this.code.push({ ...plain, ...more })
  }

  /** Backward data flow, with edges to the handlers. */
  private liveness(index: ReadonlyMap<string, number>): readonly ReadonlySet<number>[] {
    const { code } = this
    const uses = code.map((one) => namesIn(one.reads, index))
    const live = code.map(() => new Set<number>())
    const handlers = code.map((_, at) =>
      this.regions.filter((one) => one.from.at <= at && at < one.to.at).map((one) => one.handler.at),
    )
    for (let changed = true; changed;) {
      changed = false
      for (let at = code.length - 1; at >= 0; at--) {
        const one = code[at]!
        const now = new Set<number>()
        if (!one.stops) for (const local of live[at + 1] ?? []) now.add(local)
        if (one.jump !== null) for (const local of live[one.jump.at]!) now.add(local)
        // A statement that throws before it assigns leaves the old value to the handler.
        for (const name of one.defines) now.delete(index.get(name)!)
        for (const handler of handlers[at]!) for (const local of live[handler]!) now.add(local)
        for (const local of uses[at]!) now.add(local)
        if (now.size !== live[at]!.size) {
          live[at] = now
          changed = true
        }
      }
    }
    return live
  }
}

function namesIn(text: string, index: ReadonlyMap<string, number>): ReadonlySet<number> {
  const found = new Set<number>()
  for (const [name] of text.matchAll(/[\p{ID_Start}$_][\p{ID_Continue}$]*/gu)) {
    const at = index.get(name)
    if (at !== undefined) found.add(at)
  }
  return found
}
