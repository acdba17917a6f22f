/** KSM, to follow. */
import type { Mm } from './mm.ts'

export async function ksmExit(_mm: Mm): Promise<void> {}
