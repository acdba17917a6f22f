/** Events of `src/sched`. */
export type SchedEvent =
  /** `prevState` as Linux prints it: R could go on, D sleeps, X has ended. */
  | {
      readonly name: 'sched_switch'
      readonly prev: string
      readonly prevState: 'R' | 'D' | 'X'
      readonly next: string
    }
  | { readonly name: 'sched_process_exit'; readonly task: string }
