/** guest: RV64 harts and what runs on them. */
export * from '../base/index.ts'
export * from './isa/index.ts'
export * from './hart/index.ts'
