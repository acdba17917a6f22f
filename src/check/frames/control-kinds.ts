/** How what a task is doing is read: frames, what tasks hold of them, and closures. */
import type { KindParts } from './cell.ts'
import { tagOf } from './closures.ts'
import type { ClosureTag } from './closures.ts'
import type { TaskHandle } from './park.ts'
import type { Frame } from './runtime.ts'

interface FrameValues {
  readonly site: Frame['site']
  readonly pc: number
  readonly state: Frame['state']
  readonly value: unknown
  readonly parent: Frame | null
  /** All of them, or none when nothing may read them; compared and hashed are those that something may. */
  readonly locals: readonly unknown[]
}

const NONE: readonly number[] = []
const NO_VALUES: readonly unknown[] = []
/** The locals of the frame that is compared. */
const scratch: unknown[] = []

function liveOf({ site, pc, state }: Pick<Frame, 'site' | 'pc' | 'state'>): readonly number[] {
  return state === 'active' ? (site.live[pc] ?? NONE) : NONE
}

export const frameParts: KindParts<Frame, FrameValues> = {
  isSame(frame, values) {
    if (frame.pc !== values.pc || frame.state !== values.state || frame.value !== values.value) return false
    if (frame.parent !== values.parent) return false
    const { site, pc, locals } = values
    if (locals.length === 0 || (!frame.hasRun && !site.shared)) return true
    const live = site.live[pc]!
    frame.readLocals(scratch)
    for (let at = 0; at < live.length; at++) if (scratch[live[at]!] !== locals[live[at]!]) return false
    frame.hasRun = false
    return true
  },
  copy(frame) {
    const { site, pc, state, value, parent } = frame
    frame.hasRun = false
    const locals = liveOf(frame).length > 0 ? frame.locals() : NO_VALUES
    return { site, pc, state, value, parent, locals }
  },
  read({ site, pc, state, value, parent, locals }, reading) {
    reading.name(site)
    reading.mix(pc)
    if (state !== 'active') {
      reading.name(state)
      reading.value(value)
      return
    }
    reading.value(parent)
    const live = site.live[pc] ?? NONE
    for (let at = 0; at < live.length; at++) reading.value(locals[live[at]!])
  },
  putBack(frame, { pc, state, value, parent, locals }) {
    frame.pc = pc
    frame.state = state
    frame.value = value
    frame.parent = parent
    frame.hasRun = false
    frame.send(undefined, false)
    if (locals.length > 0) frame.setLocals(locals)
  },
}

interface HandleValues {
  readonly leaf: Frame | null
  readonly root: Frame | null
  readonly body: TaskHandle['body']
  readonly ended: TaskHandle['ended']
}

export const handleParts: KindParts<TaskHandle, HandleValues> = {
  isSame: (handle, { leaf, root, body, ended }) =>
    handle.leaf === leaf && handle.root === root && handle.body === body && handle.ended === ended,
  copy: ({ leaf, root, body, ended }) => ({ leaf, root, body, ended }),
  read: ({ leaf, body }, reading) => reading.value(leaf ?? body),
  putBack(handle, { leaf, root, body, ended }) {
    handle.leaf = leaf
    handle.root = root
    handle.body = body
    handle.ended = ended
  },
}

interface ClosureValues {
  readonly tag: ClosureTag
  readonly held: readonly unknown[]
}

export const closureParts: KindParts<object, ClosureValues> = {
  isSame(_closure, { tag: { captured }, held }) {
    if (captured === null) return true
    const now = captured()
    for (let at = 0; at < held.length; at++) if (now[at] !== held[at]) return false
    return true
  },
  copy(closure) {
    const tag = tagOf(closure)!
    return { tag, held: tag.captured?.() ?? NO_VALUES }
  },
  read({ tag: { module, number }, held }, reading) {
    reading.name(module.file)
    reading.mix(number)
    for (let at = 0; at < held.length; at++) reading.value(held[at])
  },
  putBack: (_closure, { tag, held }) => tag.restore?.(held as unknown[]),
}
