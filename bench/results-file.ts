/** bench/RESULTS.md: as a whole, or some of its sections. */

/** Sections in a document, each with its heading; what stands before the first comes first. */
const sectionsOf = (document: string): string[] => document.split(/^(?=## )/m)

const headingOf = (section: string): string => section.slice(0, section.indexOf('\n'))

/**
 * Puts a section in the place of the one with its heading, or where the order of headings has it.
 * @param headings of all sections, in order, with their `## `
 */
export function withSection(document: string, section: string, headings: readonly string[]): string {
  const heading = headingOf(`${section}\n`)
  const text = `${section.trimEnd()}\n\n`
  const sections = sectionsOf(`${document.trimEnd()}\n\n`)
  const known = sections.findIndex((other) => headingOf(other) === heading)
  const later = headings.slice(headings.indexOf(heading) + 1)
  const next = sections.findIndex((other, i) => i > 0 && later.includes(headingOf(other)))
  if (known >= 0) sections[known] = text
  else sections.splice(next < 0 ? sections.length : next, 0, text)
  return `${sections.join('').trimEnd()}\n`
}
