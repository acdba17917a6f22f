/** host. */
export * from '../base/index.ts'
