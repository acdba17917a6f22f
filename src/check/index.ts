/** check. */
export * from '../base/index.ts'
