/** One way to get the protocol wrong, whatever the operation. */
import type { WorldParts } from '../world.ts'

export interface Mutation {
  readonly family: 'window' | 'flush' | 'retry'
  readonly name: string
  readonly parts: WorldParts
}
