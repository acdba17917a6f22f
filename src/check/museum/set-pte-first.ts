/** set-pte-first: the host sees the new page before the guest lets go of the old one. */
import type { Hpa, Hva } from '../../base/index.ts'
import { Mm } from '../../host/index.ts'
import { mmuNotifierChangePte } from '../../notifier/index.ts'
import { cowAgainstReaders } from './cow-scenario.ts'
import type { Exhibit } from './exhibit.ts'
import { withMm } from './parts.ts'

/** Nobody hears of the new page before it can be written. */
export class SetPteFirst extends Mm {
  override async setPteAtNotify(hva: Hva, pte: number): Promise<void> {
    this.setPte(hva, this.pageTable.slot(hva) as Hpa, pte)
    await mmuNotifierChangePte(this, hva, pte)
  }
}

export const setPteFirst: Exhibit = {
  name: 'set-pte-first',
  rank: 10,
  family: 'order',
  fix: {
    commit: '48af0d7cb326',
    subject: 'mm: mmu_notifier: fix inconsistent memory between secondary MMU and host',
    version: 'v3.7',
  },
  story: [
    'The host breaks copy on write: it sets the PTE to the new frame, then tells the client by change_pte. In between another',
    'host thread stores 2 through the new PTE, and the guest reads through its old spte the value that was there before.',
    'The repair calls change_pte first: nobody can write the new page before the guest sees it.',
    '(The patch was read in the mail of August 2012; the hash is the one that mails give.)',
  ],
  correct: ['mmu_notifier_change_pte(mm, address, pte);', 'set_pte_at(mm, address, ptep, pte);'],
  historical: ['set_pte_at(mm, address, ptep, pte);', 'mmu_notifier_change_pte(mm, address, pte);'],
  breaks: 'I7',
  schedules: 160,
  shortest: { preemptions: 1, steps: 15 },
  scenario: cowAgainstReaders('unbracketed'),
  bug: withMm(SetPteFirst),
}
