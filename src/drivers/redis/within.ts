/** Waits for the work, but not for longer; whether it fails is no matter. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))
  await Promise.race([work.then(nothing, nothing), late])
  clearTimeout(timer)
}

function nothing(): void {
  // How it ended is told elsewhere.
}
