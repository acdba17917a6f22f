/** view. */
export * from '../base/index.ts'
