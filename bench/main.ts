/** Examples. */
export const examples = true
