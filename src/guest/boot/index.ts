/** boot: guest program files and the device tree. */
export { isElf, parseElf } from './elf.ts'
export type { GuestProgram, GuestSymbol, Segment } from './elf.ts'
export { checkPlacement, isImage, parseImage, parseProgram } from './image.ts'
export type { MemoryRange } from './image.ts'
export { cells64, umbraDeviceTree, writeDeviceTree } from './device-tree.ts'
export type { DeviceTreeNode, PropertyValue, UmbraDeviceTreeOptions } from './device-tree.ts'
