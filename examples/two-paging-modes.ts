/**
 * One guest, two ways of paging. Two-dimensional: the processor walks the guest's tables, and each of their addresses
 * through the table of guest frames; the guest's tables are its own business. Shadow: the processor walks a table that
 * the hypervisor derives from the guest's, and must keep in step with it.
 */
import { readFileSync } from 'node:fs'
import { Kernel, Machine, MiB, figureLines } from 'umbra'
import type { Paging } from 'umbra'

const program = readFileSync(new URL('../../examples/guests/prebuilt/paging.elf', import.meta.url))
const MODES: readonly Paging[] = ['two-dimensional', 'shadow']

async function run(paging: Paging): Promise<number[]> {
  const kernel = new Kernel({ frames: 4096 })
  return kernel.run(async () => {
    const machine = await Machine.create(kernel, { name: 'paging', program, memory: 8 * MiB, vm: { paging } })
    const result = await machine.run()
    const { stats } = machine.vm
    const { tablePages } = machine.vm.figures()
    if (paging === MODES[0]) console.log(result.console.trimEnd())
    await machine.destroy()
    kernel.assertBalanced()
    return [
      result.instructions[0]!,
      stats.faults,
      stats.mapped,
      tablePages,
      stats.shadowPagesBuilt,
      stats.writeProtected,
      stats.trackedWrites,
      stats.unsynced,
      stats.synced,
      stats.flushes,
    ]
  })
}

const figures: number[][] = []
for (const mode of MODES) figures.push(await run(mode))
const names = [
  'instructions',
  'guest faults handled by the hypervisor',
  'leaf entries set',
  'table pages at the end',
  'guest tables shadowed',
  'entries write-protected',
  'stores to guest tables that trapped',
  'guest tables let out of step',
  'guest tables brought back in step',
  'remote flushes',
]
console.log()
for (const line of figureLines(
  MODES,
  names.map((name, i) => [name, figures[0]![i]!, figures[1]![i]!] as const),
)) {
  console.log(line)
}
