/**
 * Boots an unmodified RISC-V Linux kernel while the host takes its pages away.
 *
 *   node build/examples/linux/boot.js /path/to/Image [two-dimensional | shadow] [harts]
 *
 * Any RV64 `Image` will do, for instance the file vmlinuz of Debian's package linux-binary-*-riscv64. Its only user
 * program is init.c: it forks, checks copy-on-write and powers off. Expect about 360 million instructions.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { Machine, MiB } from '../../src/guest/index.ts'
import { Kernel } from '../../src/host/index.ts'

/** Zeros up to a multiple of four bytes. */
const pad = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])

/** A cpio archive (newc) with /init and the devices that init needs: what the kernel unpacks as its root. */
function initramfs(init: Uint8Array): Uint8Array {
  const parts: Buffer[] = []
  let inode = 0
  const add = (
    name: string,
    mode: number,
    data: Uint8Array = new Uint8Array(0),
    rdev: readonly [number, number] = [0, 0],
  ): void => {
    const fields = [++inode, mode, 0, 0, 1, 0, data.length, 0, 0, ...rdev, name.length + 1, 0]
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`
    parts.push(pad(Buffer.from(header, 'latin1')), pad(Buffer.from(data)))
  }
  add('init', 0o100755, init)
  add('dev', 0o040755)
  add('dev/kmsg', 0o020600, undefined, [1, 11])
  add('TRAILER!!!', 0)
  return Buffer.concat(parts)
}

const [, , path, paging = 'two-dimensional', harts = '1'] = process.argv
if (path === undefined || (paging !== 'two-dimensional' && paging !== 'shadow')) {
  console.error('usage: boot.js Image [two-dimensional | shadow] [harts]')
  process.exit(2)
}
const file = readFileSync(path)
const init = readFileSync(fileURLToPath(new URL('../../../examples/guests/prebuilt/linux-init.elf', import.meta.url)))

const kernel = new Kernel({ frames: 24 * 1024, swapPages: 16 * 1024 })
const result = await kernel.run(async () => {
  const machine = await Machine.create(kernel, {
    name: 'linux',
    program: file[0] === 0x1f ? gunzipSync(file) : file,
    initrd: initramfs(init),
    memory: 128 * MiB,
    vm: { paging },
    harts: Number(harts),
    budget: 4e9,
    // The self-tests of the kernel's ciphers are half of its boot.
    bootargs:
      'earlycon=sbi keep_bootcon cryptomgr.notests=1 initcall_blacklist=jent_mod_init,' +
      'load_system_certificate_list,bpf_tcp_ca_kfunc_init,crypto_algapi_init,init_kprobe_trace',
    onConsole: (text) => process.stdout.write(text),
  })
  machine.start()
  let reclaimed = 0
  kernel.spawn('reclaim', async () => {
    while (machine.running) {
      reclaimed += await kernel.reclaimPages(64)
      await kernel.sched.sleep(1_000_000)
    }
  })
  const ended = await machine.wait()
  await machine.destroy()
  return { ...ended, reclaimed }
})
kernel.assertBalanced()
const instructions = Math.round(result.instructions.reduce((sum, n) => sum + n, 0) / 1e6)
console.log(`${result.message}; ${instructions} million instructions, ${result.reclaimed} pages reclaimed meanwhile`)
process.exitCode = result.exitCode
