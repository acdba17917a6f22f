/** Events of `src/notifier`. */
export type NotifierEvent = { readonly name: 'notifier_placeholder' }
