import test from 'ava'
import { KernelError } from '../../src/base/index.ts'
import { SBI_EXTENSIONS, SbiError, HsmState, sbiCallName, sbiEcall, RESET_TYPE } from '../../src/guest/sbi/index.ts'
import type { HsmStateCode, SbiOutcome, SbiPlatform } from '../../src/guest/sbi/index.ts'

const ALL = (1n << 64n) - 1n
const [BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN] = SBI_EXTENSIONS.map((extension) => BigInt(extension.id)) as [
  bigint,
  bigint,
  bigint,
  bigint,
  bigint,
  bigint,
  bigint,
]

/** A machine of four harts that writes down what is done to it. Memory is 0x1000..0x3fff. */
class Platform implements SbiPlatform {
  readonly harts = 4
  readonly log: string[] = []
  readonly states: HsmStateCode[] = [0, 1, 1, 4]
  readonly memory: Uint8Array = new Uint8Array(0x4000).map((_, i) => i * 7)
  input: number[] = [104, 105]

  setTimer(hart: number, time: bigint): void {
    this.log.push(`timer ${hart} ${time}`)
  }
  sendIpi(harts: readonly number[]): void {
    this.log.push(`ipi ${harts.join()}`)
  }
  async remoteFenceI(harts: readonly number[]): Promise<void> {
    this.log.push(`fence.i ${harts.join()}`)
  }
  async remoteSfenceVma(
    harts: readonly number[],
    range: { start: bigint; size: bigint } | null,
    asid: number,
  ): Promise<void> {
    this.log.push(`sfence ${harts.join()} ${range ? `${range.start}+${range.size}` : 'all'} ${asid}`)
  }
  hsmState(hart: number): HsmStateCode {
    return this.states[hart]!
  }
  canStartAt(address: bigint): boolean {
    return address % 2n === 0n && address >= 0x1000n && address < 0x4000n
  }
  startHart(hart: number, entry: { address: bigint; opaque: bigint }): void {
    this.log.push(`start ${hart} ${entry.address} ${entry.opaque}`)
  }
  stopHart(hart: number): void {
    this.log.push(`stop ${hart}`)
  }
  async suspendHart(hart: number): Promise<void> {
    this.log.push(`suspend ${hart}`)
  }
  resumeHartAt(hart: number, entry: { address: bigint; opaque: bigint }): void {
    this.log.push(`resume ${hart} ${entry.address} ${entry.opaque}`)
  }
  systemReset(type: number, reason: number): void {
    this.log.push(`reset ${type} ${reason}`)
  }
  isMemory(gpa: number, length: number): boolean {
    return gpa >= 0x1000 && gpa + length <= 0x4000
  }
  async readMemory(gpa: number, length: number): Promise<Uint8Array> {
    return this.memory.slice(gpa, gpa + length)
  }
  async writeMemory(gpa: number, bytes: Uint8Array): Promise<void> {
    this.memory.set(bytes, gpa)
  }
  consoleWrite(bytes: Uint8Array): void {
    this.log.push(`console ${bytes.join()}`)
  }
  consoleRead(limit: number): Uint8Array {
    return Uint8Array.from(this.input.splice(0, limit))
  }
  consoleUnread(bytes: Uint8Array): void {
    this.input.unshift(...bytes)
  }
}

interface Row {
  readonly what: string
  readonly call: readonly bigint[]
  /** [error, value], or null for a call that does not return. */
  readonly gives: readonly [number, bigint] | null
  readonly does?: string
}

/** Makes every call of a table on a fresh machine, from hart 0. */
async function check(
  t: { deepEqual: (a: unknown, b: unknown, m: string) => unknown },
  rows: readonly Row[],
): Promise<void> {
  for (const { what, call, gives, does } of rows) {
    const platform = new Platform()
    const [eid = 0n, fid = 0n, a0 = 0n, a1 = 0n, a2 = 0n, a3 = 0n, a4 = 0n, a5 = 0n] = call
    const outcome: SbiOutcome = await sbiEcall(eid, fid, { platform, hart: 0, args: [a0, a1, a2, a3, a4, a5] })
    t.deepEqual(outcome && [outcome.error, outcome.value], gives, what)
    t.deepEqual(platform.log, does === undefined ? [] : [does], what)
  }
}

const OK = [SbiError.SUCCESS, 0n] as const
const NOT_SUPPORTED = [SbiError.NOT_SUPPORTED, 0n] as const
const INVALID_PARAM = [SbiError.INVALID_PARAM, 0n] as const
const INVALID_ADDRESS = [SbiError.INVALID_ADDRESS, 0n] as const

test('the table has the names and ids of the specification', (t) => {
  t.deepEqual(
    SBI_EXTENSIONS.map(({ id, name, functions }) => [id, name, functions.length]),
    [
      [0x10, 'BASE', 7],
      [0x54494d45, 'TIME', 1],
      [0x735049, 'IPI', 1],
      [0x52464e43, 'RFENCE', 7],
      [0x48534d, 'HSM', 4],
      [0x53525354, 'SRST', 1],
      [0x4442434e, 'DBCN', 3],
    ],
  )
  t.is(sbiCallName(HSM, 0n), 'HSM.hart_start')
  t.is(sbiCallName(HSM, 9n), 'HSM.9')
  t.is(sbiCallName(1n, 0n), '0x1.0')
})

test('BASE, and what is not there', async (t) => {
  await check(t, [
    { what: 'version 2.0', call: [BASE, 0n], gives: [0, 0x200_0000n] },
    { what: 'probe of what is there', call: [BASE, 3n, DBCN], gives: [0, 1n] },
    { what: 'probe of BASE', call: [BASE, 3n, 0x10n], gives: [0, 1n] },
    { what: 'probe of legacy putchar', call: [BASE, 3n, 1n], gives: [0, 0n] },
    { what: 'probe of SUSP', call: [BASE, 3n, 0x53555350n], gives: [0, 0n] },
    { what: 'vendor', call: [BASE, 4n], gives: [0, 0n] },
    { what: 'unknown function', call: [BASE, 7n], gives: NOT_SUPPORTED },
    { what: 'huge function', call: [BASE, ALL], gives: NOT_SUPPORTED },
    { what: 'legacy putchar', call: [1n, 0n, 65n], gives: NOT_SUPPORTED },
    { what: 'unknown extension', call: [0x1234_5678n, 0n], gives: NOT_SUPPORTED },
    { what: 'id with a high bit set', call: [BASE | (1n << 32n), 0n], gives: NOT_SUPPORTED },
  ])
})

test('TIME and IPI', async (t) => {
  await check(t, [
    { what: 'set_timer', call: [TIME, 0n, ALL], gives: OK, does: `timer 0 ${ALL}` },
    { what: 'IPI by mask', call: [IPI, 0n, 0b101n, 1n], gives: OK, does: 'ipi 1,3' },
    { what: 'IPI to all', call: [IPI, 0n, 0n, ALL], gives: OK, does: 'ipi 0,1,2,3' },
    { what: 'IPI to nobody', call: [IPI, 0n, 0n, 0n], gives: OK, does: 'ipi ' },
    { what: 'IPI beyond the last hart', call: [IPI, 0n, 0b1_0001n, 0n], gives: INVALID_PARAM },
    { what: 'IPI with a bad base', call: [IPI, 0n, 1n, 4n], gives: INVALID_PARAM },
    { what: 'IPI with an empty mask and a bad base', call: [IPI, 0n, 0n, 4n], gives: INVALID_PARAM },
    { what: 'IPI with base -2', call: [IPI, 0n, 2n, ALL - 1n], gives: INVALID_PARAM },
  ])
})

test('RFENCE', async (t) => {
  await check(t, [
    { what: 'fence.i', call: [RFENCE, 0n, 2n, 0n], gives: OK, does: 'fence.i 1' },
    { what: 'a range', call: [RFENCE, 1n, 6n, 0n, 0x1234n, 0x2000n], gives: OK, does: 'sfence 1,2 4660+8192 -1' },
    { what: 'start 0, size 0', call: [RFENCE, 1n, 0n, ALL, 0n, 0n], gives: OK, does: 'sfence 0,1,2,3 all -1' },
    { what: 'size -1', call: [RFENCE, 1n, 1n, 1n, 0x5000n, ALL], gives: OK, does: 'sfence 1 all -1' },
    { what: 'size 0 elsewhere', call: [RFENCE, 1n, 1n, 1n, 0x5000n, 0n], gives: OK },
    { what: 'one ASID', call: [RFENCE, 2n, 1n, 1n, 0n, ALL, 7n], gives: OK, does: 'sfence 1 all 7' },
    { what: 'ASID of 16 bits', call: [RFENCE, 2n, 1n, 1n, 0n, 1n, 0x1_0007n], gives: OK, does: 'sfence 1 0+1 7' },
    {
      what: 'up to the last byte',
      call: [RFENCE, 1n, 1n, 0n, ALL - 9n, 10n],
      gives: OK,
      does: `sfence 0 ${ALL - 9n}+10 -1`,
    },
    { what: 'over the end', call: [RFENCE, 1n, 1n, 0n, ALL - 9n, 11n], gives: INVALID_ADDRESS },
    { what: 'no such hart', call: [RFENCE, 1n, 16n, 0n, 0n, 0n], gives: INVALID_PARAM },
    { what: 'fence.i for no such hart', call: [RFENCE, 0n, 1n, 9n], gives: INVALID_PARAM },
    { what: 'hfence.gvma.vmid', call: [RFENCE, 3n, 1n, 0n], gives: NOT_SUPPORTED },
    { what: 'hfence.vvma', call: [RFENCE, 6n, 1n, 0n], gives: NOT_SUPPORTED },
    { what: 'no such function', call: [RFENCE, 7n], gives: NOT_SUPPORTED },
  ])
})

test('HSM', async (t) => {
  const already = [SbiError.ALREADY_AVAILABLE, 0n] as const
  await check(t, [
    { what: 'start', call: [HSM, 0n, 1n, 0x2000n, 5n], gives: OK, does: 'start 1 8192 5' },
    { what: 'start of a started hart', call: [HSM, 0n, 0n, 0x2000n], gives: already },
    { what: 'start of a suspended hart', call: [HSM, 0n, 3n, 0x2000n], gives: already },
    { what: 'start of no hart', call: [HSM, 0n, 4n, 0x2000n], gives: INVALID_PARAM },
    { what: 'start of no hart at a bad address', call: [HSM, 0n, ALL, 1n], gives: INVALID_PARAM },
    { what: 'start outside memory', call: [HSM, 0n, 1n, 0x8000n], gives: INVALID_ADDRESS },
    { what: 'start at an odd address', call: [HSM, 0n, 1n, 0x2001n], gives: INVALID_ADDRESS },
    { what: 'stop', call: [HSM, 1n], gives: null, does: 'stop 0' },
    { what: 'status: stopped', call: [HSM, 2n, 1n], gives: [0, BigInt(HsmState.STOPPED)] },
    { what: 'status: suspended', call: [HSM, 2n, 3n], gives: [0, BigInt(HsmState.SUSPENDED)] },
    { what: 'status of no hart', call: [HSM, 2n, 4n], gives: INVALID_PARAM },
    { what: 'retentive suspend', call: [HSM, 3n, 0n, 1n], gives: OK, does: 'suspend 0' },
    { what: 'reserved suspend', call: [HSM, 3n, 1n], gives: INVALID_PARAM },
    { what: 'platform suspend', call: [HSM, 3n, 0x1000_0000n], gives: INVALID_PARAM },
    { what: 'non-retentive suspend, bad address', call: [HSM, 3n, 0x8000_0000n, 1n], gives: INVALID_ADDRESS },
  ])
  const platform = new Platform()
  const args = [ALL - 0x7fff_ffffn, 0x2000n, 9n, 0n, 0n, 0n] as const // 0x80000000, sign-extended
  t.is(await sbiEcall(HSM, 3n, { platform, hart: 2, args }), null)
  t.deepEqual(platform.log, ['suspend 2', 'resume 2 8192 9'])
})

test('SRST', async (t) => {
  await check(t, [
    { what: 'shutdown', call: [SRST, 0n, 0n, 0n], gives: null, does: 'reset 0 0' },
    { what: 'failure', call: [SRST, 0n, 0n, 1n], gives: null, does: 'reset 0 1' },
    { what: 'warm reboot', call: [SRST, 0n, 2n, 0n], gives: null, does: `reset ${RESET_TYPE.WARM_REBOOT} 0` },
    { what: 'reserved type', call: [SRST, 0n, 3n, 0n], gives: INVALID_PARAM },
    { what: 'vendor type', call: [SRST, 0n, 0xf000_0000n, 0n], gives: INVALID_PARAM },
    { what: 'reserved reason', call: [SRST, 0n, 0n, 2n], gives: INVALID_PARAM },
  ])
})

test('DBCN', async (t) => {
  await check(t, [
    { what: 'write', call: [DBCN, 0n, 3n, 0x1001n], gives: [0, 3n], does: 'console 7,14,21' },
    { what: 'write nothing, anywhere', call: [DBCN, 0n, 0n, 0x9000n], gives: OK },
    { what: 'write outside memory', call: [DBCN, 0n, 3n, 0x3ffen], gives: INVALID_PARAM },
    { what: 'write above 2^64', call: [DBCN, 0n, 3n, 0x1000n, 1n], gives: INVALID_PARAM },
    { what: 'write that wraps', call: [DBCN, 0n, ALL, 0x1000n], gives: INVALID_PARAM },
    { what: 'write_byte', call: [DBCN, 2n, 0x141n], gives: OK, does: 'console 65' },
    { what: 'read outside memory', call: [DBCN, 1n, 3n, 0x3ffen], gives: INVALID_PARAM },
  ])
  const platform = new Platform()
  const read = { platform, hart: 0, args: [16n, 0x1ffen, 0n, 0n, 0n, 0n] as const }
  t.deepEqual(await sbiEcall(DBCN, 1n, read), { error: 0, value: 2n })
  t.deepEqual([...platform.memory.subarray(0x1ffe, 0x2001)], [104, 105, 0])
  t.deepEqual(await sbiEcall(DBCN, 1n, read), { error: 0, value: 0n })
  platform.input = [120]
  platform.writeMemory = async () => {
    throw new KernelError('EFAULT', 'no page')
  }
  await t.throwsAsync(sbiEcall(DBCN, 1n, read), { code: 'EFAULT' })
  t.deepEqual(platform.input, [120], 'input that could not be delivered is still there')
  const big = { platform, hart: 0, args: [0x2000n, 0x1000n, 0n, 0n, 0n, 0n] as const }
  t.deepEqual(await sbiEcall(DBCN, 0n, big), { error: 0, value: 4096n })
})
