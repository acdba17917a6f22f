/** machine: a VM, its harts and its guest program, run to an end. */
export type { ConsoleSink } from './console.ts'
export { MachineConsole } from './console.ts'
export type { MmioDevice } from './device.ts'
export { Machine, RAM_BASE } from './machine.ts'
export type { MachineOptions } from './machine.ts'
export { isResumable } from './result.ts'
export type { ExitCounts, KvmExit, MachineCause, MachineResult } from './result.ts'
