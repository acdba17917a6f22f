/**
 * The console of a machine: what the guest wrote, and the input that waits for it.
 *
 * R1 Output is bytes; as text each byte is one character (Latin-1), so that no byte is lost at a boundary.
 */

/** Sees output as it is written. */
export type ConsoleSink = (text: string) => void

export class MachineConsole {
  /** All output so far. */
  text = ''
  private readonly sink: ConsoleSink | undefined
  private input: number[] = []

  constructor(sink: ConsoleSink | undefined) {
    this.sink = sink
  }

  write(bytes: Uint8Array): void {
    let text = ''
    for (const byte of bytes) text += String.fromCharCode(byte)
    this.text += text
    this.sink?.(text)
  }

  /** Types something: it waits until the guest reads it. */
  type(text: string): void {
    for (let i = 0; i < text.length; i++) this.input.push(text.charCodeAt(i) & 0xff)
  }

  /** At most `limit` bytes of input. */
  read(limit: number): Uint8Array {
    return Uint8Array.from(this.input.splice(0, limit))
  }

  /** Puts input back that could not be delivered. */
  unread(bytes: Uint8Array): void {
    this.input = [...bytes, ...this.input]
  }
}
