/**
 * The few WebAssembly names the core uses, typed here because `lib es2023` has none and the core takes no DOM or Node types.
 *
 * R1 The declarations stay inside this module, so that they never collide with those of a DOM or Node program.
 */

/** One linear memory. Umbra never grows one, so `buffer` stays the same object for its whole life. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer
}
export interface WasmTable {
  readonly length: number
  get(index: number): unknown
  set(index: number, value?: unknown): void
  grow(delta: number, value?: unknown): number
}
export interface WasmGlobal {
  value: number | bigint
}
/** A compiled module; it has no methods of its own. */
export type WasmModule = object
export interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>
}

interface WasmNamespace {
  /** Sizes in WebAssembly pages of 64 KiB. @throws RangeError when the engine cannot reserve that much. */
  readonly Memory: new (descriptor: { initial: number; maximum?: number }) => WasmMemory
  readonly Table: new (descriptor: { element: 'anyfunc' | 'externref'; initial: number; maximum?: number }) => WasmTable
  readonly Global: new (descriptor: { value: 'i32' | 'i64'; mutable?: boolean }, value: number | bigint) => WasmGlobal
  readonly Module: new (bytes: Uint8Array) => WasmModule
  readonly Instance: new (module: WasmModule, imports?: Record<string, Record<string, unknown>>) => WasmInstance
  validate(bytes: Uint8Array): boolean
}

declare const WebAssembly: WasmNamespace

/** The engine's `WebAssembly` object. */
export const Wasm: WasmNamespace = WebAssembly
