/**
 * A recorded run: which decisions differed from the default, as plain data and as one line of text.
 *
 * Decisions are numbered from 0 in the order in which they arise: which task runs next, whether a switch point
 * stops the running task, and every value asked for with `choose`. The default is always 0.
 *
 * R1 The text form is `u1:` and base64url of unsigned LEB128 numbers: gap to the previous deviation, then value.
 */
import { KernelError } from '../base/index.ts'

/** Deviations as pairs: decision number, chosen value; numbers ascend. */
export interface Schedule {
  readonly deviations: readonly number[]
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const PREFIX = 'u1:'

function pushVarint(bytes: number[], value: number): void {
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
}

/** The one-line form of a schedule. */
export function encodeSchedule(schedule: Schedule): string {
  const bytes: number[] = []
  let previous = -1
  for (let i = 0; i < schedule.deviations.length; i += 2) {
    const at = schedule.deviations[i]!
    pushVarint(bytes, at - previous - 1)
    pushVarint(bytes, schedule.deviations[i + 1]!)
    previous = at
  }
  let text = PREFIX
  for (let i = 0; i < bytes.length; i += 3) {
    const chunk = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    const digits = Math.min(3, bytes.length - i) + 1
    for (let digit = 0; digit < digits; digit++) text += ALPHABET[(chunk >> (18 - 6 * digit)) & 63]
  }
  return text
}

/**
 * The schedule that a line stands for.
 * @throws KernelError EINVAL when the text is not a schedule
 */
export function decodeSchedule(text: string): Schedule {
  const bad = (why: string): KernelError => new KernelError('EINVAL', `not a schedule: ${why}; expected ${PREFIX}...`)
  if (!text.startsWith(PREFIX)) throw bad(`it begins with '${text.slice(0, PREFIX.length)}'`)
  const bytes: number[] = []
  let bits = 0
  let width = 0
  for (const letter of text.slice(PREFIX.length)) {
    const digit = ALPHABET.indexOf(letter)
    if (digit < 0) throw bad(`letter '${letter}'`)
    bits = ((bits << 6) | digit) & 0xffff
    width += 6
    if (width >= 8) {
      width -= 8
      bytes.push((bits >> width) & 0xff)
    }
  }
  const numbers: number[] = []
  let value = 0
  let scale = 1
  for (const byte of bytes) {
    value += (byte & 0x7f) * scale
    scale *= 0x80
    if (byte < 0x80) {
      numbers.push(value)
      value = 0
      scale = 1
    }
  }
  if (scale !== 1 || numbers.length % 2 !== 0) throw bad('it is truncated')
  const deviations: number[] = []
  let previous = -1
  for (let i = 0; i < numbers.length; i += 2) {
    previous += numbers[i]! + 1
    deviations.push(previous, numbers[i + 1]!)
  }
  return { deviations }
}
