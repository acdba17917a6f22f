/** Picks an implementation of SRCU by name. */
import type { Scheduler } from '../sched/index.ts'
import { SrcuClassic } from './srcu-classic.ts'
import { SrcuCounted } from './srcu-counted.ts'
import { SrcuTiny } from './srcu-tiny.ts'
import type { Srcu, SrcuKind, SrcuOptions } from './srcu.ts'

/** Makes an SRCU domain (init_srcu_struct). All kinds keep the same promises. */
export function createSrcu(kind: SrcuKind, sched: Scheduler, options: SrcuOptions): Srcu {
  if (kind === 'classic') return new SrcuClassic(sched, options)
  if (kind === 'counted') return new SrcuCounted(sched, options)
  return new SrcuTiny(sched, options)
}
