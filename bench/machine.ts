/** A whole guest: the interpreter with translation, faults and the run loop around it. */
import { readFileSync } from 'node:fs'
import { MiB } from '../src/base/index.ts'
import { Machine } from '../src/guest/index.ts'
import { Kernel } from '../src/host/index.ts'
import type { Paging } from '../src/mmu/index.ts'
import { quietCalls } from './measure.ts'
import type { Report, Subject } from './report.ts'

const MODES: readonly Paging[] = ['two-dimensional', 'shadow']
const GUESTS = [
  { name: 'sort', memory: 8 * MiB, bootargs: 'count=20000' },
  { name: 'patterns', memory: 8 * MiB, bootargs: 'kib=512 rounds=2' },
  { name: 'paging', memory: 8 * MiB, bootargs: '' },
] as const

export const machine: Subject = {
  name: 'machine',
  title: 'Whole guests',
  async measure(): Promise<Report> {
    const rows: string[][] = []
    for (const { name, memory, bootargs } of GUESTS) {
      const program = guestProgram(name)
      for (const paging of MODES) {
        let instructions = 0
        let faults = 0
        const [nanoseconds] = await quietCalls(5, [
          {
            prepare: () => undefined,
            run: async () => {
              const kernel = new Kernel({ frames: memory / 4096 + 512 })
              await kernel.run(async () => {
                const guest = await Machine.create(kernel, { name, program, memory, bootargs, vm: { paging } })
                const result = await guest.run()
                if (result.cause !== 'shutdown') throw new Error(`${name} ended: ${result.message}`)
                instructions = result.instructions.reduce((sum, count) => sum + count, 0)
                faults = guest.vm.stats.faults
                await guest.destroy()
              })
            },
          },
        ])
        const millions = (instructions / nanoseconds!) * 1e3
        rows.push([name, paging, instructions.toLocaleString('en'), faults.toLocaleString('en'), millions.toFixed(1)])
      }
    }
    return {
      tables: [
        {
          title: 'from the making of the kernel to the guest powering off, one hart, nobody disturbs',
          columns: ['guest', 'paging', 'instructions', 'page faults', 'million instructions a second'],
          rows,
        },
      ],
    }
  },
}

export function guestProgram(name: string): Uint8Array {
  return readFileSync(new URL(`../../examples/guests/prebuilt/${name}.elf`, import.meta.url))
}
