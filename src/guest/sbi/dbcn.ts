/**
 * DBCN (EID 0x4442434e), chapter 12: the debug console. Buffers are named by guest-physical address.
 *
 * R1 A buffer may cross pages and its pages may be swapped out: they are brought in, and the call sleeps meanwhile.
 * R2 One call moves at most CHUNK bytes and says how many, as the specification allows.
 */
import { KiB } from '../../base/index.ts'
import { SbiError, failure, success } from './sbi.ts'
import type { SbiCall, SbiExtension, SbiOutcome, SbiPlatform } from './sbi.ts'

/** Bytes that one call moves at most. */
const CHUNK: number = 4 * KiB
/** Largest address that can be memory: what a double holds exactly. */
const ADDRESS_LIMIT = 2n ** 53n

/** The buffer that (length, low, high) name, or null when not all of it is memory. */
function buffer(platform: SbiPlatform, args: SbiCall['args']): { gpa: number; length: number } | null {
  const [length, low, high] = args
  if (high !== 0n || low + length > ADDRESS_LIMIT) return null
  if (!platform.isMemory(Number(low), Number(length))) return null
  return { gpa: Number(low), length: Math.min(Number(length), CHUNK) }
}

async function consoleWrite({ platform, args }: SbiCall): Promise<SbiOutcome> {
  if (args[0] === 0n) return success()
  const range = buffer(platform, args)
  if (range === null) return failure(SbiError.INVALID_PARAM)
  const bytes = await platform.readMemory(range.gpa, range.length)
  platform.consoleWrite(bytes)
  return success(BigInt(bytes.length))
}

async function consoleRead({ platform, args }: SbiCall): Promise<SbiOutcome> {
  if (args[0] === 0n) return success()
  const range = buffer(platform, args)
  if (range === null) return failure(SbiError.INVALID_PARAM)
  const bytes = platform.consoleRead(range.length)
  try {
    await platform.writeMemory(range.gpa, bytes)
  } catch (error) {
    platform.consoleUnread(bytes) // the call will be made again
    throw error
  }
  return success(BigInt(bytes.length))
}

export const DBCN: SbiExtension = {
  id: 0x4442434e,
  name: 'DBCN',
  functions: [
    { name: 'console_write', call: consoleWrite },
    { name: 'console_read', call: consoleRead },
    {
      name: 'console_write_byte',
      call: ({ platform, args }) => {
        platform.consoleWrite(Uint8Array.of(Number(args[0] & 0xffn)))
        return success()
      },
    },
  ],
}
