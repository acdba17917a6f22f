/** translate: hot guest code becomes WebAssembly. */
export { CODE_CACHE_BYTES, CodeCache, type CodeCacheStats } from './code-cache.ts'
export { Translator } from './translator.ts'
