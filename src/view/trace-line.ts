/**
 * Trace lines in ftrace's shape (Linux kernel/trace/trace_output.c), so that grep, awk and trace readers work.
 *
 * ```
 *            vcpu0-3       [001] .....     0.000123: kvm_entry: vm=1 vcpu=0
 * ```
 * R1 Generic over every event: the fields appear in the order in which the event lists them.
 * R2 Addresses, frame numbers and register values are hexadecimal, truth values 0 or 1, everything else decimal.
 */
import type { TraceEvent, TraceStamp } from '../base/index.ts'

/** The comment header of a trace file. Time is virtual, and it says so. */
export const TRACE_HEADER: readonly string[] = [
  '# tracer: umbra',
  '#',
  '# time is virtual: seconds of the simulated clock, which only instructions and sleeps advance',
  '#',
  '#                              _-----=> irqs-off/BH-disabled',
  '#                             / _----=> need-resched',
  '#                            | / _---=> hardirq/softirq',
  '#                            || / _--=> preempt-depth',
  '#                            ||| / _-=> migrate-disable',
  '#                            |||| /',
  '#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION',
  '#              | |         |   |||||     |         |',
]

/** Fields that hold an address, a frame number or a register. */
const HEX = new Set(
  'address end epc from gfn gpa gva gvn hpa hva hvn offset pc pfn ppn root scause sepc sptep start stval to value'.split(
    ' ',
  ),
)

function field(name: string, value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint') {
    if (value === Infinity) return 'inf'
    return HEX.has(name) && value >= 0 ? `0x${value.toString(16)}` : value.toString()
  }
  if (typeof value === 'boolean') return value ? '1' : '0'
  if (typeof value === 'string') return /^[^\s="]+$/.test(value) ? value : JSON.stringify(value)
  if (Array.isArray(value)) return value.map((item) => field(name, item)).join(',')
  return String(value)
}

/** `name: key=value ...` without who and when. */
export function eventText(event: TraceEvent): string {
  const fields = Object.entries(event).flatMap(([key, value]) =>
    key === 'name' ? [] : [`${key}=${field(key, value)}`],
  )
  return fields.length === 0 ? `${event.name}:` : `${event.name}: ${fields.join(' ')}`
}

/** `   0.000123`: seconds and microseconds of the virtual clock. */
export function timestamp(nanoseconds: number): string {
  const micros = Math.floor(nanoseconds / 1000)
  return `${Math.floor(micros / 1e6)}`.padStart(6) + `.${`${micros % 1e6}`.padStart(6, '0')}`
}

/** One line of a trace, without its newline. */
export function traceLine(event: TraceEvent, stamp: TraceStamp): string {
  const who = `${stamp.task.padStart(16)}-${String(stamp.pid).padEnd(7)}`
  return `${who} [${String(stamp.cpu).padStart(3, '0')}] ..... ${timestamp(stamp.now)}: ${eventText(event)}`
}
