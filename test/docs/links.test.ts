import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { ROOT, anchors, declares, documents, linkedPath, links, readText } from './sources.ts'

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

test('every step of the tour names a function that its file declares', (t) => {
  const steps = links(readText('docs/tour.md')).filter(({ text }) => text.startsWith('`'))
  t.true(steps.length > 40)
  for (const { text, target } of steps) {
    const name = text.slice(1, -1)
    t.true(declares(linkedPath('docs/tour.md', target)!, name), `${name} in ${target}`)
  }
})
