import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { ROOT, anchors, documents, linkedPath, links, readText } from './sources.ts'

test('every link of the documents leads to a file of the repository, and to a heading where it names one', (t) => {
  for (const document of documents()) {
    for (const { text, target } of links(readText(document))) {
      const path = linkedPath(document, target)
      if (path === null) continue
      t.true(existsSync(join(ROOT, path)), `${document}: [${text}](${target})`)
      const anchor = /#(.+)$/.exec(target)?.[1]
      if (anchor !== undefined) t.true(anchors(readText(path)).has(anchor), `${document}: [${text}](${target})`)
    }
  }
})
