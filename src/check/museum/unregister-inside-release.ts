/** unregister-inside-release: a client that wants to go away from inside its own hook. */
import {
  MmuNotifier,
  mmuNotifierCallSrcu,
  mmuNotifierRegister,
  mmuNotifierUnregister,
  mmuNotifierUnregisterNoRelease,
} from '../../notifier/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import type { Exhibit } from './exhibit.ts'

/** What a driver does in its release hook: it leaves its freeing to a callback, waits, or frees at once. */
type Way = 'defers' | 'waits' | 'frees'

function exitWithClient(way: Way): Scenario {
  return defineScenario({
    name: 'exit-with-client',
    what: 'an mm exits; its client goes away inside its release hook',
    invariants: ['I5', 'I8'],
    world: { pages: 1, vm: null, kernel: { frames: 64 } },
    async setup({ kernel, mm }) {
      const client: MmuNotifier = new MmuNotifier({
        name: 'driver',
        async release() {
          if (way === 'waits') await mmuNotifierUnregister(client, mm)
          else await mmuNotifierUnregisterNoRelease(client, mm)
          if (way === 'defers') mmuNotifierCallSrcu(kernel.srcu, () => client.free())
          else client.free()
        },
      })
      await mmuNotifierRegister(client, mm)
    },
    tasks: { exit: ({ mm }) => mm.exit() },
  })
}

const clientDefers = exitWithClient('defers')

export const unregisterInsideRelease: Exhibit = {
  name: 'unregister-inside-release',
  rank: 6,
  family: 'lifetime',
  fix: {
    commit: 'b972216e27d1',
    subject: 'mmu_notifier: add call_srcu and sync function for listener to delay call and sync',
    version: 'v3.17',
  },
  story: [
    'The mm exits and calls the release of a driver, which wants to drop its whole object and unregisters there and then.',
    'Unregister waits for a grace period, which waits for the read section that release runs in: the task waits for itself.',
    'The repair unlinks without waiting and frees from an SRCU callback, when the grace period is over.',
  ],
  correct: ['mmu_notifier_unregister_no_release(mn, mm);', 'mmu_notifier_call_srcu(&obj->rcu, free_obj);'],
  historical: ['mmu_notifier_unregister(mn, mm);', 'kfree(obj);'],
  breaks: 'I8',
  schedules: 5,
  shortest: { preemptions: 0, steps: 10 },
  scenario: clientDefers,
  bug: exitWithClient('waits'),
}

export const freeInsideRelease: Exhibit = {
  name: 'free-inside-release',
  rank: 6,
  family: 'lifetime',
  fix: unregisterInsideRelease.fix,
  story: [
    'The same driver, told that it must not wait: it unlinks itself in its release hook and frees its object there and then. The exit',
    'that called it is still in its walk of the list, and takes its next step from memory that is free. Neither waiting nor not waiting',
    'is right inside a hook: the object has to outlive the read section that it is called in.',
  ],
  correct: unregisterInsideRelease.correct,
  historical: ['mmu_notifier_unregister_no_release(mn, mm);', 'kfree(obj);'],
  breaks: 'I5',
  schedules: 5,
  shortest: { preemptions: 0, steps: 10 },
  scenario: clientDefers,
  bug: exitWithClient('frees'),
}
