/** Shadow paging. */
import { TdpMmu } from './tdp-mmu.ts'

export class ShadowMmu extends TdpMmu {}
