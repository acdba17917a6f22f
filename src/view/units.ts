/**
 * Quantities as people write them: bytes, nanoseconds, counts.
 *
 * R1 Fixed forms, no locale: the same value is the same text everywhere.
 * R2 At most three significant digits behind a unit; counts are exact, with a comma every three digits.
 */

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const
const TIME_UNITS = ['ns', 'us', 'ms', 's'] as const

function scaled(value: number, step: number, units: readonly string[]): string {
  let rest = value
  let unit = 0
  while (rest >= step && unit < units.length - 1) {
    rest /= step
    unit++
  }
  const digits = Number.isInteger(rest) ? rest.toString() : rest.toFixed(rest < 10 ? 2 : rest < 100 ? 1 : 0)
  return `${digits} ${units[unit]}`
}

/** `4096` -> `4 KiB`. @param bytes at least 0 */
export const bytesText = (bytes: number): string => scaled(bytes, 1024, BYTE_UNITS)

/** `1500000` -> `1.50 ms`. @param nanoseconds at least 0 */
export const timeText = (nanoseconds: number): string => scaled(nanoseconds, 1000, TIME_UNITS)

/** `1234567` -> `1,234,567`. */
export const countText = (count: number): string => count.toString().replace(/\B(?=(\d{3})+$)/g, ',')

/** `1`, `page` -> `1 page`; `2`, `page` -> `2 pages`. */
export const plural = (count: number, noun: string): string => `${countText(count)} ${noun}${count === 1 ? '' : 's'}`
