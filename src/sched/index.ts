/** sched. */
export * from '../base/index.ts'
