/** `to`, at least as long, beginning with what `from` holds. */
export function copied<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}
