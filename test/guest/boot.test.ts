import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import * as fc from 'fast-check'
import { KernelError, MiB } from '../../src/base/index.ts'
import { parseElf, parseImage, parseProgram, umbraDeviceTree, writeDeviceTree } from '../../src/guest/boot/index.ts'
import type { DeviceTreeNode } from '../../src/guest/boot/index.ts'

const guests = fileURLToPath(new URL('../../../examples/guests/', import.meta.url))
const prebuilt = (name: string): Uint8Array => new Uint8Array(readFileSync(join(guests, 'prebuilt', `${name}.elf`)))
const memory = { start: 0x8000_0000, length: 16 * MiB }

/** An outside tool that a test compares with; without it the test says so and compares nothing. */
function available(t: ExecutionContext, tool: string): boolean {
  if (spawnSync(tool, ['--version']).error === undefined) return true
  t.log(`skipped: ${tool} is not installed`)
  t.pass()
  return false
}

function patched(file: Uint8Array, offset: number, ...bytes: number[]): Uint8Array {
  const copy = file.slice()
  copy.set(bytes, offset)
  return copy
}

function refused(t: ExecutionContext, file: Uint8Array, message: RegExp): void {
  t.throws(() => parseProgram(file, memory), { instanceOf: KernelError, code: 'ENOEXEC', message })
}

test('every prebuilt guest loads at the start of memory and matches its checksum', (t) => {
  const sums = new Map(
    readFileSync(join(guests, 'prebuilt', 'SHA256SUMS'), 'utf8')
      .trim()
      .split('\n')
      .map((line): [string, string] => [line.slice(66), line.slice(0, 64)]),
  )
  const files = readdirSync(join(guests, 'prebuilt')).filter((name) => name.endsWith('.elf'))
  t.deepEqual([...sums.keys()].toSorted(), files.toSorted())
  for (const file of files) {
    const bytes = prebuilt(file.slice(0, -4))
    t.is(createHash('sha256').update(bytes).digest('hex'), sums.get(file)!, file)
    if (file === 'linux-init.elf') continue
    const program = parseProgram(bytes, memory)
    t.is(program.entry, memory.start, file)
    t.is(program.segments.length, 2, file)
  }
})

test('rebuilding the guests gives the same bytes', (t) => {
  if (!available(t, 'riscv64-unknown-elf-gcc')) return
  const version = spawnSync('riscv64-unknown-elf-gcc', ['-dumpversion']).stdout.toString().trim()
  if (version !== '12.2.0') {
    t.log(`skipped: riscv64-unknown-elf-gcc is ${version}, the guests were built with 12.2.0`)
    t.pass()
    return
  }
  const directory = mkdtempSync(join(tmpdir(), 'umbra-guests-'))
  const result = spawnSync(join(guests, 'build.sh'), ['-o', directory])
  t.is(result.status, 0, result.stderr.toString())
  for (const file of readdirSync(directory)) {
    t.deepEqual(readFileSync(join(directory, file)), readFileSync(join(guests, 'prebuilt', file)), file)
  }
  rmSync(directory, { recursive: true })
})

test('segments and entry are what readelf says', (t) => {
  if (!available(t, 'readelf')) return
  for (const name of ['hello', 'smp', 'paging']) {
    const output = spawnSync('readelf', ['-lW', join(guests, 'prebuilt', `${name}.elf`)]).stdout.toString()
    const program = parseElf(prebuilt(name))
    t.is(program.entry, Number(/Entry point (0x[0-9a-f]+)/.exec(output)?.[1]))
    const loads = [...output.matchAll(/LOAD +\S+ +\S+ (0x\S+) (0x\S+) (0x\S+)/g)].map((row) => row.slice(1).map(Number))
    t.deepEqual(
      program.segments.map((segment) => [segment.gpa, segment.bytes.length, segment.memorySize]),
      loads,
    )
  }
})

test('symbols are what nm says', (t) => {
  if (!available(t, 'riscv64-unknown-elf-nm')) return
  const directory = mkdtempSync(join(tmpdir(), 'umbra-guests-'))
  const environment = { ...process.env, STRIP: '' }
  spawnSync(join(guests, 'build.sh'), ['-o', directory, 'hello'], { env: environment })
  const file = join(directory, 'hello.elf')
  const nm = spawnSync('riscv64-unknown-elf-nm', ['-f', 'posix', '--defined-only', file]).stdout.toString()
  const wanted = new Map(nm.split('\n').map((line) => [line.split(' ')[0]!, parseInt(line.split(' ')[2]!, 16)]))
  const { symbols } = parseElf(new Uint8Array(readFileSync(file)))
  t.true(symbols.length > 20)
  for (const { name, address } of symbols) t.is(address, wanted.get(name)!, name)
  t.deepEqual(
    symbols.map((symbol) => symbol.address),
    symbols.map((symbol) => symbol.address).toSorted((a, b) => a - b),
  )
  t.is(symbols.find((symbol) => symbol.name === 'main')?.size !== 0, true)
  rmSync(directory, { recursive: true })
})

test('each fault of an ELF file is one clear line', (t) => {
  const hello = prebuilt('hello')
  refused(t, new Uint8Array(0), /^neither an ELF file nor a RISC-V Linux Image$/)
  refused(t, new Uint8Array(200).fill(0x23), /neither/)
  refused(t, patched(hello, 4, 1), /class is 1; expected 2/)
  refused(t, patched(hello, 5, 2), /encoding is 2; expected 1/)
  refused(t, patched(hello, 18, 62), /machine is 62; expected 243 \(RISC-V\)/)
  refused(t, patched(hello, 16, 1), /type is 1; expected 2/)
  refused(t, patched(hello, 24, 0, 0, 0, 0x40), /entry point 0x40000000 lies in no loaded segment/)
  refused(t, patched(hello, 31, 0xff), /the entry point is 0xff00000080000000: beyond/)
  refused(t, patched(hello, 56, 0, 0), /nothing to load/)
  refused(t, patched(hello, 56, 0xff, 0xff), /program header \d+ at .* lies outside the file/)
  refused(t, patched(hello, 64 + 56, 3), /dynamically linked/)
  refused(t, patched(hello, 64 + 56 + 24, 0, 0, 0, 0x80), /0x80000000\.\..*overlaps another segment/)
  refused(
    t,
    patched(hello, 64 + 56 + 27, 0x90),
    /0x9000[0-9a-f]+\.\..* lies outside memory at 0x80000000\.\.0x81000000/,
  )
  refused(t, patched(hello, 64 + 32, 0xff, 0xff, 0xff, 0xff), /bytes in the file but/)
})

test('a truncated or damaged file is refused, or loads; nothing else happens', (t) => {
  const hello = prebuilt('hello')
  const fine = parseProgram(hello, memory)
  let loaded = 0
  const attempt = (file: Uint8Array): void => {
    try {
      const program = parseProgram(file, memory)
      loaded++
      for (const { gpa, memorySize, bytes } of program.segments) {
        if (gpa < memory.start || gpa + memorySize > memory.start + memory.length || bytes.length > memorySize) t.fail()
      }
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'ENOEXEC') throw error
    }
  }
  for (let length = 0; length < hello.length; length++) attempt(hello.subarray(0, length))
  t.is(loaded, 0, 'a stripped ELF file ends with its section headers, so that every truncation shows')
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(299), fc.nat(255)), { minLength: 1, maxLength: 4 }), (changes) => {
      const copy = hello.slice()
      for (const [offset, value] of changes) copy[offset] = value
      attempt(copy)
    }),
    { numRuns: 3000, seed: 1 },
  )
  t.is(fine.symbols.length, 0)
})

test('a Linux Image is placed at text_offset above a 2 MiB boundary', (t) => {
  const image = new Uint8Array(4096)
  const view = new DataView(image.buffer)
  view.setBigUint64(8, 0x20_0000n, true)
  view.setBigUint64(16, 0x40_0000n, true)
  view.setUint32(56, 0x05435352, true)
  const program = parseProgram(image, memory)
  t.is(program.format, 'image')
  t.is(program.entry, 0x8020_0000)
  t.is(program.segments[0]?.memorySize, 4 * MiB)
  t.is(parseImage(image, 0x8010_0000).entry, 0x8040_0000)
  t.throws(() => parseProgram(image, { start: 0x8000_0000, length: 4 * MiB }), {
    code: 'ENOEXEC',
    message: /outside memory/,
  })
  refused(t, patched(image, 24, 1), /big-endian/)
  refused(t, patched(image, 16, 0, 0, 0), /image_size is 0 but the file has 4096 bytes/)
  for (let length = 0; length < 64; length++) refused(t, image.subarray(0, length), /neither/)
})

/** What dtc prints for one hart. */
const cpu = (id: number, phandle: number): string => `
\t\tcpu@${id} {
\t\t\tdevice_type = "cpu";
\t\t\treg = <0x0${id}>;
\t\t\tstatus = "okay";
\t\t\tcompatible = "riscv";
\t\t\triscv,isa = "rv64imafdc_zicsr_zifencei";
\t\t\tmmu-type = "riscv,sv48";

\t\t\tinterrupt-controller {
\t\t\t\t#address-cells = <0x00>;
\t\t\t\t#interrupt-cells = <0x01>;
\t\t\t\tinterrupt-controller;
\t\t\t\tcompatible = "riscv,cpu-intc";
\t\t\t\tphandle = <0x0${phandle}>;
\t\t\t};
\t\t};
`

test('the device tree compiles back to what was asked for', (t) => {
  const blob = writeDeviceTree(
    umbraDeviceTree({
      harts: 2,
      memory: { start: 0x8000_0000, length: 2 ** 33 },
      timebase: 10_000_000,
      bootargs: 'earlycon=sbi quiet',
      initrd: { start: 0x8400_0000, length: 0x1000 },
    }),
  )
  if (!available(t, 'dtc')) return
  const dtc = spawnSync('dtc', ['-I', 'dtb', '-O', 'dts', '-'], { input: blob })
  t.is(dtc.status, 0)
  t.is(dtc.stderr.toString().replaceAll(/.*Warning \(unique_unit_address_if_enabled\).*\n/g, ''), '')
  t.is(
    dtc.stdout.toString(),
    `/dts-v1/;

/ {
\t#address-cells = <0x02>;
\t#size-cells = <0x02>;
\tcompatible = "umbra,virt";
\tmodel = "umbra,virt";

\tchosen {
\t\tbootargs = "earlycon=sbi quiet";
\t\tlinux,initrd-start = <0x00 0x84000000>;
\t\tlinux,initrd-end = <0x00 0x84001000>;
\t};

\tmemory@80000000 {
\t\tdevice_type = "memory";
\t\treg = <0x00 0x80000000 0x02 0x00>;
\t};

\tcpus {
\t\t#address-cells = <0x01>;
\t\t#size-cells = <0x00>;
\t\ttimebase-frequency = <0x989680>;
${cpu(0, 1)}${cpu(1, 2)}\t};
};
`,
  )
})

test('a generated tree comes back from dtc as it was written', (t) => {
  if (!available(t, 'dtc')) return
  const name = fc.stringMatching(/^[a-z][a-z0-9,-]{0,20}$/)
  const value = fc.oneof(fc.array(fc.nat(), { minLength: 1, maxLength: 5 }), fc.constant(true as const))
  const properties = fc.dictionary(name, value, { maxKeys: 4, noNullPrototype: true })
  const leaf = fc.record({ name, properties })
  const trees = fc.array(
    fc.record({ name, properties, children: fc.uniqueArray(leaf, { maxLength: 3, selector: (n) => n.name }) }),
    { minLength: 1, maxLength: 4 },
  )
  const [sample] = fc.sample(trees, { numRuns: 1, seed: 7 })
  const nodes = sample!.map((node, index) => ({ ...node, name: `${node.name}-${index}` }))
  const blob = writeDeviceTree({ name: '', properties: {}, children: nodes })
  const text = spawnSync('dtc', ['-f', '-q', '-I', 'dtb', '-O', 'dts', '-'], { input: blob }).stdout.toString()
  const render = (node: DeviceTreeNode): string =>
    `${node.name}{${Object.entries(node.properties)
      .map(([key, data]) => (data === true ? `${key};` : `${key}=<${(data as number[]).join(' ')}>;`))
      .join('')}${(node.children ?? []).map(render).join('')}};`
  const got = text
    .replace('/dts-v1/;', '')
    .replaceAll(/0x([0-9a-f]+)/g, (hex) => String(Number(hex)))
    .replaceAll(/ = /g, '=')
    .replaceAll(/[\t\n]| (?=\{)/g, '')
  t.is(got, render({ name: '/', properties: {}, children: nodes }))
})

const make = (harts: number, start: number): DeviceTreeNode =>
  umbraDeviceTree({ harts, memory, timebase: 1, initrd: { start, length: 4096 } })

test('a machine with no harts, or with its ramdisk outside memory, is refused', (t) => {
  t.throws(() => make(0, memory.start), { code: 'EINVAL', message: 'harts is 0; expected 1 to 64' })
  t.throws(() => make(65, memory.start), { code: 'EINVAL' })
  t.throws(() => make(1, 0x1000), { code: 'EINVAL', message: /ramdisk at 0x1000 lies outside/ })
})
