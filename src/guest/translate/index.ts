/** translate: hot guest code becomes WebAssembly. */
export { CodeCache, type CodeCacheStats } from './code-cache.ts'
export { Translator, type TranslatorOptions } from './translator.ts'
