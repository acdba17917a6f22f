/** mmu. */
export * from '../base/index.ts'
