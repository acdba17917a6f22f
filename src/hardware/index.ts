/** hardware. */
export * from '../base/index.ts'
