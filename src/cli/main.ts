#!/usr/bin/env node
/** The umbra command as a process: it ends by itself when stdout is written out, with the exit code of the verdict. */
import { umbra } from './umbra.ts'

process.exitCode = await umbra(process.argv.slice(2), process)
