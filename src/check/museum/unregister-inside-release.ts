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

function exitWithClient(waits: boolean): Scenario {
  return defineScenario({
    name: 'exit-with-client',
    what: 'an mm exits; its client goes away inside its release hook',
    invariants: ['I5', 'I8'],
    world: { pages: 1, vm: null, kernel: { frames: 64 } },
    async setup({ kernel, mm }) {
      const client: MmuNotifier = new MmuNotifier({
        name: 'driver',
        async release() {
          if (waits) {
            await mmuNotifierUnregister(client, mm)
            client.free()
            return
          }
          await mmuNotifierUnregisterNoRelease(client, mm)
          mmuNotifierCallSrcu(kernel.srcu, () => client.free())
        },
      })
      await mmuNotifierRegister(client, mm)
    },
    tasks: { exit: ({ mm }) => mm.exit() },
  })
}

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
  scenario: exitWithClient(false),
  bug: exitWithClient(true),
}
