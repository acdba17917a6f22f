/** BASE (EID 0x10), chapter 4: versions, and which extensions there are. Its functions cannot fail. */
import { success } from './sbi.ts'
import type { SbiExtension, SbiFunction } from './sbi.ts'

/** Specification version 2.0: major in bits 30-24, minor below. */
const SPEC_VERSION = 2n << 24n
/** Not a registered implementation id: "umbr" in ASCII. */
export const UMBRA_IMPLEMENTATION_ID = 0x756d6272n
const UMBRA_IMPLEMENTATION_VERSION = 1n

const answer = (name: string, value: bigint): SbiFunction => ({ name, call: () => success(value) })

/** @param probe tells whether there is an extension of that id */
export function baseExtension(probe: (id: bigint) => boolean): SbiExtension {
  return {
    id: 0x10,
    name: 'BASE',
    functions: [
      answer('get_spec_version', SPEC_VERSION),
      answer('get_impl_id', UMBRA_IMPLEMENTATION_ID),
      answer('get_impl_version', UMBRA_IMPLEMENTATION_VERSION),
      { name: 'probe_extension', call: ({ args }) => success(probe(args[0]) ? 1n : 0n) },
      // 0 is the specification's "not implemented" for the machine ids.
      answer('get_mvendorid', 0n),
      answer('get_marchid', 0n),
      answer('get_mimpid', 0n),
    ],
  }
}
