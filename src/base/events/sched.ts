/** Events of `src/sched`. */
export type SchedEvent =
  | { readonly name: 'sched_switch'; readonly prev: string; readonly next: string }
  | { readonly name: 'sched_process_exit'; readonly task: string }
