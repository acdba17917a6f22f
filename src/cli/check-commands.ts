/** The commands that explore schedules, repeat them, and show the museum of bugs. */
import { exhibits, scenarios } from '../check/index.ts'
import type { Command } from './command.ts'
import { defineCommand } from './command.ts'

const SCENARIO_NAMES = scenarios.map(({ name }) => name)

export const CHECK_COMMANDS: readonly Command[] = [
  defineCommand({
    name: 'check',
    summary: 'explore the interleavings of scenarios; on a violation print its shortest schedule',
    details: [
      'A scenario is a small world of the real code and a few tasks that meet in it. Its runs differ only in who runs when; ' +
        'every one is audited at every step. What is found is made short and printed as a timeline, with the line that repeats it.',
      'The verdict says what was run: "proved: all N states" when every reachable state was visited; "no violation within k ' +
        'preemptions (N states)", or (N schedules), when everything with at most k preemptions was; "no violation in n schedules".',
    ],
    operand: {
      name: 'NAME...',
      summary:
        'scenarios, or beginnings of their names; FILE.js or FILE.js#NAME of your own; exhibit:NAME with its bug; none: all shipped',
      required: false,
      most: Infinity,
      completes: SCENARIO_NAMES,
    },
    options: {
      list: { type: 'flag', summary: 'print the scenarios' },
      litmus: { type: 'flag', summary: 'run the public SRCU litmus tests on each implementation instead' },
      policy: {
        type: 'choice',
        choices: ['prove', 'pct', 'random', 'bounded', 'all'],
        default: 'prove',
        summary:
          'prove: a short hunt, then every reachable state, or those within --preemptions when --states are not enough; pct: few changes of random priorities; random: any switch anywhere; bounded: every schedule within --preemptions; all: these three, one after the other',
      },
      seed: { type: 'count', default: '1', summary: 'seed of pct and random; the same seed gives the same runs' },
      depth: {
        type: 'count',
        default: '0',
        most: 20,
        summary: 'ordered events that pct looks for; 0 takes 2, 3 and 4 in turn',
      },
      schedules: {
        type: 'count',
        default: '300',
        least: 1,
        summary: 'runs a scenario and policy, at most',
        placeholder: 'N',
      },
      preemptions: {
        type: 'count',
        default: '2',
        most: 10,
        summary: 'bound of the search over preemptions',
        placeholder: 'K',
      },
      states: {
        type: 'count',
        default: '100k',
        least: 1,
        summary:
          'states that a proof may take; after that many, preemptions are bounded, and a bound may take as many. 1M for depth',
        placeholder: 'N',
      },
      time: {
        type: 'count',
        least: 1,
        summary: 'stop after so many seconds, with the verdict so far',
        placeholder: 'SECONDS',
      },
      memory: {
        type: 'count',
        least: 16,
        summary: 'stop when a thread has so many MiB of heap in use, with the verdict so far',
        placeholder: 'MIB',
      },
      workers: {
        type: 'count',
        default: '1',
        most: 256,
        summary: 'threads that search; 0: one for each core. What is printed does not depend on it',
        placeholder: 'N',
      },
      shard: {
        type: 'text',
        default: '1/1',
        summary: 'run only part I of N of the work; umbra merge puts the parts together',
        placeholder: 'I/N',
      },
      coverage: {
        type: 'flag',
        summary:
          'say which pairs of dependent steps never ran in both orders, and which hooks never had anything to do; a proof makes no runs, so prove becomes all',
      },
      'why-states': {
        type: 'flag',
        summary:
          'say instead what differs between states in which all tasks stand at the same places: why there are so many',
      },
      out: { type: 'file', summary: 'write the result of each unit of work to a file, for umbra merge' },
      violations: {
        type: 'file',
        default: 'umbra-violations',
        summary: 'folder for a file of each violation, which umbra replay takes',
        placeholder: 'DIR',
      },
    },
    examples: [
      ['umbra check unmap', 'every scenario whose name begins with unmap'],
      ['umbra check get-put --policy bounded --preemptions 2 --schedules 100k', 'all schedules within two preemptions'],
    ],
    async run(values, _, output, operands) {
      const { check } = await import('./check.ts')
      return check(values, operands, output)
    },
  }),
  defineCommand({
    name: 'merge',
    summary: 'put result files of umbra check --out together: one verdict',
    details: [
      'Files of one check, split with --shard, in any order. Counts add, bugs are put together as a set. A shard or a unit of work ' +
        'that is in no file is named, and the exit code is 3; files of another configuration or of other code are refused.',
    ],
    operand: { name: 'FILE...', summary: 'files of umbra check --out', required: true, most: Infinity, completes: [] },
    options: { out: { type: 'file', summary: 'write what they come to as one file' } },
    examples: [['umbra merge part-1.jsonl part-2.jsonl', 'two shards']],
    async run(values, _, output, operands) {
      const { merge } = await import('./merge.ts')
      return merge(values, operands, output)
    },
  }),
  defineCommand({
    name: 'replay',
    summary: 'repeat one schedule of a scenario, as umbra check printed or wrote it; or show its state at a step',
    details: [
      'The run is the same, event for event, or the exit code is 4. A schedule that was cut, is of another scenario or was ' +
        'made by another version is refused. With --until the run is shown after one of its steps: page tables and sptes, TLBs, ' +
        'the SRCU of the callouts, frames, tasks with their locks, and the calls of every task with their locals.',
    ],
    operand: {
      name: 'SCENARIO u1:...',
      summary: 'a scenario and the schedule of one of its runs; or the file of a violation',
      required: true,
      most: 2,
      completes: SCENARIO_NAMES,
    },
    options: {
      digest: {
        type: 'text',
        summary: 'what umbra check printed for the trace: another trace ends with exit code 4',
        placeholder: 'HEX',
      },
      until: { type: 'count', least: 1, summary: 'show the state after this step of the timeline', placeholder: 'N' },
      show: {
        type: 'text',
        default: 'tables,tlb,srcu,locals',
        summary: 'what --until shows, of tables, tlb, srcu, pages, tasks, locals',
        placeholder: 'LIST',
      },
      out: { type: 'file', summary: 'write the run as a file into this folder', placeholder: 'DIR' },
    },
    examples: [
      ['umbra replay unmap-vs-fault u1:', 'the schedule without any deviation'],
      [
        'umbra replay unmap-vs-fault u1: --until 20 --show tables,locals',
        'what the tables and locals hold after step 20',
      ],
    ],
    async run(values, _, output, operands) {
      const { replaySchedule } = await import('./replay.ts')
      return replaySchedule(values, operands, output)
    },
  }),
  defineCommand({
    name: 'page',
    summary: 'what a page of a scenario is at one step of a schedule, and who maps it',
    details: [
      'Runs the schedule and prints each page of its memory: its PTE or swap slot, the sptes, TLB entries and cached addresses ' +
        'that translate it, and its frame with flags, counts and all PTEs that name it. If the schedule breaks an invariant, ' +
        'the pages are those of its last step.',
    ],
    operand: {
      name: 'SCENARIO u1:...',
      summary: 'a scenario, and the schedule of one of its runs; without one, the schedule without any deviation',
      required: true,
      most: 2,
      completes: SCENARIO_NAMES,
    },
    options: {
      until: {
        type: 'count',
        least: 1,
        summary: 'look after so many events; else when all tasks have ended',
        placeholder: 'N',
      },
      page: { type: 'count', summary: 'only the page of this number, from 0', placeholder: 'P' },
    },
    examples: [['umbra page fork-vs-warm u1: --page 0', 'the first page of guest memory when all tasks have ended']],
    async run(values, _, output, operands) {
      const { page } = await import('./page.ts')
      return page(values, operands, output)
    },
  }),
  defineCommand({
    name: 'museum',
    summary: 'bugs that real kernels had, each found by the auditor and gone without it',
    details: [
      'Without an operand, the list. show NAME tells the story of an exhibit, with the right and the wrong lines. run NAME, or run ' +
        'all, looks for a schedule under which the bug breaks its invariant, prints the shortest one as a race in columns with a ' +
        'line that repeats it (replay NAME u1:...), and then plays the same scenario without the bug in every schedule within ' +
        'a few preemptions; the exit code is 0 when both hold, else 1. chain walks the chains in which a repair led to the next bug. ' +
        'score runs generated bugs, every operation of the host times every way to get the protocol wrong, and counts the killed.',
    ],
    operand: {
      name: 'show|run|replay|chain|score NAME',
      summary: 'what to do, and with which exhibit (run also takes all); nothing: list them',
      required: false,
      most: 3,
      completes: ['list', 'show', 'run', 'replay', 'chain', 'score', 'all', ...exhibits.map(({ name }) => name)],
    },
    options: {},
    examples: [
      ['umbra museum run second-delete', 'the bug in the commit that Umbra is about'],
      ['umbra museum run global-srcu', 'what one SRCU for all saves, and what it costs'],
    ],
    async run(_values, _operand, output, operands) {
      const { museum } = await import('./museum/museum.ts')
      return museum(operands, output)
    },
  }),
]
