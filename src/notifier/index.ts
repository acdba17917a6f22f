/** notifier. */
export * from '../base/index.ts'
