/**
 * Where output goes, and in which colours.
 *
 * R1 Colours only on a terminal, or when FORCE_COLOR asks for them; NO_COLOR and --no-color win over everything.
 * R2 A reader that has gone away (EPIPE) is not an error: `closed` tells long work to stop.
 * R3 With --json every line on stdout is one JSON object, and nothing else is printed there.
 * R4 The process's streams and environment come in as an `Io`, so that a test can stand in for them.
 */
import { writeSync } from 'node:fs'
import { Chalk, supportsColor, supportsColorStderr } from 'chalk'
import type { ChalkInstance, ColorSupportLevel } from 'chalk'

/** A stream that text goes to. */
export interface Sink {
  write(text: string | Uint8Array): unknown
  readonly isTTY?: boolean
  readonly columns?: number
  on?(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown
}

/** The outside of a command. */
export interface Io {
  readonly stdout: Sink
  readonly stderr: Sink
  readonly env: Readonly<Record<string, string | undefined>>
}

export interface OutputOptions {
  readonly json: boolean
  readonly noColor: boolean
}

function colourLevel(support: typeof supportsColor, sink: Sink, env: Io['env'], noColor: boolean): ColorSupportLevel {
  const { NO_COLOR: no, FORCE_COLOR: force } = env
  if (noColor || (no !== undefined && no !== '')) return 0
  if (force !== undefined) {
    if (force === '0' || force === 'false') return 0
    return force === '2' || force === '3' ? (Number(force) as ColorSupportLevel) : 1
  }
  return sink.isTTY === true && support !== false ? support.level : 0
}

export class Output {
  readonly json: boolean
  /** Colours of stdout and of stderr. */
  readonly chalk: ChalkInstance
  readonly chalkError: ChalkInstance
  readonly io: Io
  /** True when nobody reads stdout any more. */
  closed = false
  /** Called before anything is written: takes away what is redrawn in place. */
  beforeWrite: () => void = () => undefined

  constructor(io: Io, options: OutputOptions) {
    this.io = io
    this.json = options.json
    const { stdout, stderr, env } = io
    this.chalk = new Chalk({ level: colourLevel(supportsColor, stdout, env, options.noColor || options.json) })
    this.chalkError = new Chalk({ level: colourLevel(supportsColorStderr, stderr, env, options.noColor) })
    for (const sink of [stdout, stderr]) sink.on?.('error', (error) => this.lost(error))
  }

  /** One line on stdout. */
  line(text = ''): void {
    this.write(`${text}\n`)
  }

  /** Bytes on stdout, as they are. */
  write(bytes: string | Uint8Array): void {
    if (this.closed) return
    this.beforeWrite()
    this.io.stdout.write(bytes)
  }

  /** One JSON object on stdout; bigint values as decimal text. */
  object(value: object): void {
    this.line(JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? item.toString() : item)))
  }

  /** One line on stderr. */
  note(text = ''): void {
    this.beforeWrite()
    this.io.stderr.write(`${text}\n`)
  }

  private lost(error: NodeJS.ErrnoException): void {
    if (error.code !== 'EPIPE') throw error
    this.closed = true
  }
}

/** Writes lines to a file in large pieces, synchronously: nothing in a kernel may wait for a file. */
export class LineFile {
  private pending = ''
  private readonly fd: number

  constructor(fd: number) {
    this.fd = fd
  }

  write(line: string): void {
    this.pending += `${line}\n`
    if (this.pending.length >= 1 << 16) this.flush()
  }

  flush(): void {
    writeSync(this.fd, this.pending)
    this.pending = ''
  }
}
