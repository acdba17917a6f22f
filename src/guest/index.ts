/** guest: RV64 harts, SBI, loaders, and the machine that ties a VM to its guest program. */
export * from '../base/index.ts'
export * from './float/index.ts'
export * from './isa/index.ts'
export * from './hart/index.ts'
export * from './boot/index.ts'
export * from './sbi/index.ts'
export * from './machine/index.ts'
export * from './wasm/index.ts'
