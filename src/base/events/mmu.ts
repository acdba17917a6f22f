/** Events of `src/mmu`. */
export type MmuEvent = { readonly name: 'mmu_placeholder' }
