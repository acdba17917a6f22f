/**
 * Litmus tests of SRCU as data: a few processes, each a list of steps on shared locations and domains.
 *
 * | step | meaning |
 * |---|---|
 * | `lock s r1`, `unlock s r1` | srcu_read_lock, srcu_read_unlock; the index in a register |
 * | `down s idx`, `up s idx` | srcu_down_read, srcu_up_read; the index in a shared location |
 * | `x = 1` | WRITE_ONCE |
 * | `r1 = x` | READ_ONCE; registers begin with r and a digit |
 * | `sync s` | synchronize_srcu |
 * | `await f = 1` | goes on when the location has the value: a read that other outcomes are filtered by |
 *
 * The domain `rcu` is plain RCU. Fences are not steps: on one machine that interleaves steps every step is fenced.
 */
import { KernelError } from '../../base/index.ts'

export type Step =
  | { readonly op: 'lock' | 'unlock' | 'down' | 'up'; readonly domain: string; readonly index: string }
  | { readonly op: 'write' | 'await'; readonly location: string; readonly value: number }
  | { readonly op: 'read'; readonly register: string; readonly location: string }
  | { readonly op: 'sync'; readonly domain: string }

/** The domain that is no SRCU. */
export const RCU = 'rcu'

export type Process = readonly Step[]

export const isRegister = (name: string): boolean => /^r\d/.test(name)

/** @throws KernelError EINVAL */
export function parseStep(text: string): Step {
  const words = text.split(/[\s=]+/)
  const [first = '', second = '', third = ''] = words
  if (first === 'lock' || first === 'unlock' || first === 'down' || first === 'up') {
    return { op: first, domain: second, index: third }
  }
  if (first === 'sync') return { op: 'sync', domain: second }
  if (first === 'await') return { op: 'await', location: second, value: Number(third) }
  if (isRegister(first)) return { op: 'read', register: first, location: second }
  if (words.length === 2 && /^\d+$/.test(second)) return { op: 'write', location: first, value: Number(second) }
  throw new KernelError('EINVAL', `litmus: '${text}' is no step`)
}

/** The values that an outcome names: `0:r1` is a register of process 0, `x` a location at the end. */
export interface Outcome {
  readonly [name: string]: number
}

/** Reads the named values. @param values of registers as `0:r1`, of locations by name; absent ones are 0 */
export const outcomeText = (names: readonly string[], values: ReadonlyMap<string, number>): string =>
  names.map((name) => `${name}=${values.get(name) ?? 0}`).join(' ')
