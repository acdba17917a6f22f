/** litmus: the public SRCU litmus tests on the real implementations. */
export { runLitmus, runMisuse, srcuKinds } from './run.ts'
export type { LitmusOptions, LitmusResult, MisuseResult } from './run.ts'
export { litmusNotMirrored, litmusTests, misuses } from './tests.ts'
export type { Litmus, Misuse } from './tests.ts'
export type { MakeSrcu } from './machine.ts'
