/** Events of `src/host`. */
export type HostEvent = { readonly name: 'host_placeholder' }
