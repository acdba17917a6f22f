/**
 * Comparison of long byte arrays, by the engine's own code where it has some: `lib es2023` has none.
 *
 * R1 The declarations stay inside this module, so that they never collide with those of a Node program.
 */

type Equals = (this: Uint8Array, other: Uint8Array) => boolean

declare const Buffer: { readonly prototype: { readonly equals: Equals } } | undefined

const equals: Equals | null = typeof Buffer === 'undefined' ? null : Buffer.prototype.equals

/** Whether two arrays of one length hold the same bytes. Faster than a loop from about 500 bytes on. */
export function bytesEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (equals !== null) return equals.call(one, other)
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false
  return one.length === other.length
}
