type Column = Float64Array | Int32Array | Uint32Array | Uint16Array | Uint8Array

/** The slots of a full ring of columns in order, from `head` on, at the start of `to`. */
export function unrolled<T extends Column>(from: T, to: T, head: number): T {
  to.set(from.subarray(head))
  to.set(from.subarray(0, head), from.length - head)
  return to
}
