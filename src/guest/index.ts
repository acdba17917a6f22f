/** guest. */
export * from '../base/index.ts'
