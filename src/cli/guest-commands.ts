/** The commands that run guests, and those that show them. */
import { injections, stormKinds } from '../check/index.ts'
import { DEFAULT_ENGINE, ENGINE_NAMES } from '../guest/index.ts'
import type { Command } from './command.ts'
import { defineCommand } from './command.ts'
import type { OptionTable } from './options.ts'

/** Options of everything that runs a kernel. */
const KERNEL_OPTIONS = {
  seed: { type: 'count', default: '1', summary: 'seed of every random choice; the same seed gives the same run' },
  engine: {
    type: 'choice',
    choices: ENGINE_NAMES,
    default: DEFAULT_ENGINE,
    summary: 'what executes the guests; the result is the same, the speed is not',
  },
  srcu: { type: 'choice', choices: ['tiny', 'classic', 'counted'], default: 'tiny', summary: 'SRCU implementation' },
  'page-table-lock': {
    type: 'choice',
    choices: ['sleep', 'spin'],
    default: 'sleep',
    summary: 'spin as in Linux (a hook that sleeps under it is reported), or sleep',
  },
  audit: {
    type: 'choice',
    choices: ['off', 'sampled', 'all'],
    default: 'sampled',
    summary: 'how often the invariants are checked: never, at a sample of steps, at every step',
  },
  trace: { type: 'file', summary: "write every event to a file, in ftrace's format" },
} as const satisfies OptionTable

export const GUEST_COMMANDS: readonly Command[] = [
  defineCommand({
    name: 'demo',
    summary: 'five guests on too little memory, under every storm; ends with the verdict',
    details: [
      'Guests in both paging modes, one of them with two harts, check their own memory while the host unmaps, protects, forks, ' +
        'swaps and merges their pages, and every hook sleeps under the one global SRCU. An auditor compares each shadow page, ' +
        'TLB entry and loaded value with the host page table and with what was last stored.',
    ],
    options: {
      ...KERNEL_OPTIONS,
      audit: { ...KERNEL_OPTIONS.audit, default: 'all' },
      inject: {
        type: 'choice',
        choices: injections.map(({ name }) => name),
        summary: `break the protocol on purpose; the auditor must find it (exit code 1): ${injections.map(({ name, summary }) => `${name} = ${summary}`).join('; ')}`,
      },
    },
    examples: [
      ['umbra demo', 'the whole show'],
      ['umbra demo --inject stale-spte', 'what a violation looks like'],
    ],
    async run(values, _, output) {
      const { demo } = await import('./demo.ts')
      return demo(values, output)
    },
  }),
  defineCommand({
    name: 'run',
    summary: 'run a guest, alone or under storms',
    details: [
      "The guest's console goes to stdout, everything else to stderr. A guest is an ELF64 file or a flat Image, or the name of " +
        'an example (umbra list). It starts as an SBI hypervisor starts it: a0 = hart id, a1 = device tree, satp = 0.',
    ],
    operand: {
      name: 'ELF|NAME',
      summary: 'a file, or an example guest (umbra list)',
      required: true,
      completes: 'guests',
    },
    options: {
      memory: { type: 'size', least: 1 << 20, summary: 'guest memory; without it 16M, or what an example guest needs' },
      frames: {
        type: 'count',
        least: 64,
        most: 2 ** 19,
        summary: 'host memory in frames of 4 KiB; without it, plenty',
      },
      harts: { type: 'count', default: '1', least: 1, most: 32, summary: 'harts of the guest' },
      paging: {
        type: 'choice',
        choices: ['two-dimensional', 'shadow'],
        default: 'two-dimensional',
        summary: 'how the guest is mapped: second-stage tables, or shadow tables of the guest’s own',
      },
      swap: { type: 'size', most: 2 ** 31 - 4096, default: '64M', summary: 'size of the swap device' },
      bootargs: { type: 'text', default: '', summary: 'the guest’s command line (/chosen bootargs)' },
      budget: {
        type: 'count',
        default: '2G',
        summary: 'stop after so many instructions of the guest',
        placeholder: 'INSTRUCTIONS',
      },
      storm: {
        type: 'count',
        summary: 'let the host take pages away all the time, with this seed',
        placeholder: 'SEED',
      },
      'storm-kinds': {
        type: 'list',
        choices: stormKinds.map(({ name }) => name),
        default: 'all',
        summary: 'which storms --storm starts',
        placeholder: 'LIST',
      },
      ...KERNEL_OPTIONS,
      record: {
        type: 'file',
        summary: 'write the schedule (one line, u1:...) to a file; tasks then switch at random points',
      },
      replay: {
        type: 'text',
        summary: 'repeat a recorded schedule: the line itself, or a file that holds it',
        placeholder: 'u1:...',
      },
    },
    examples: [
      ['umbra run hello', 'a guest that says hello'],
      ['umbra run patterns --frames 600 --storm 7 --audit all', 'too little memory, storms, every step checked'],
      ['umbra run smp --harts 2 --paging shadow --trace trace.txt', 'shadow paging, with every event in a file'],
    ],
    async run(values, operand, output) {
      const { run } = await import('./run.ts')
      return run(operand!, values, output)
    },
  }),
  defineCommand({
    name: 'list',
    summary: 'the example guests and the kinds of storm',
    options: {},
    async run(_values, _operand, output) {
      const { list } = await import('./list.ts')
      return list(output)
    },
  }),
  defineCommand({
    name: 'disasm',
    summary: 'disassemble a guest',
    operand: {
      name: 'ELF|NAME',
      summary: 'a file, or an example guest (umbra list)',
      required: true,
      completes: 'guests',
    },
    options: {
      from: {
        type: 'count',
        summary: 'guest-physical address to start at; without it, the entry',
        placeholder: 'ADDRESS',
      },
      count: { type: 'count', default: '32', summary: 'instructions to print' },
    },
    examples: [['umbra disasm hello --from 0x80000000 --count 8', 'the first instructions of a guest']],
    async run(values, operand, output) {
      const { disasm } = await import('./disasm.ts')
      return disasm(operand!, values, output)
    },
  }),
]
