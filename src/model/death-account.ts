/** Why a message was given up, as the headers of its dead letter tell it. */

/** Characters: an error may quote a whole page, and headers have a limit that a letter must not break. */
const maximumAccountLength = 4_096

/** A reason or error as a header holds it. */
export function shortened(text: string): string {
  return text.length <= maximumAccountLength ? text : `${text.slice(0, maximumAccountLength - 1)}…`
}
