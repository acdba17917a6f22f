/** One bug of the twin, found in a process of its own: `node find.js BUG`. Exit code 1 when it was not found. */
import { PROMELA_BUGS, findInCode } from './bugs.ts'

const bug = PROMELA_BUGS.find((each) => each === process.argv[2])
process.exitCode = bug !== undefined && (await findInCode(bug)) !== null ? 0 : 1
