/** Sets the wall clock of this process on or back, as an operator would: Date moves, the monotonic clock does not. */
export function stepClock(): { step: (ms: number) => Promise<void>; restore: () => void } {
  const real = Date.now
  return {
    step: async (ms) => {
      Date.now = () => real() + ms
    },
    restore: () => {
      Date.now = real
    },
  }
}
