/**
 * Largest triangle three buckets, as published (S. Steinarsson, "Downsampling Time Series for Visual Representation", 2013): the first
 * and the last point, and of each of `pointsMax - 2` buckets of as many points each the one that makes the largest triangle with
 * the point chosen before it and the mean of the next bucket. Of equal triangles the first counts. Pure.
 */

/**
 * The points are (x, y) side by side in `points` from `first` on. Writes the indices of the chosen among them, 0 .. count-1, into
 * `chosen`, ascending, and returns how many: all when there are no more than `pointsMax`, which is at least 3. Where areas overflow,
 * the first of a bucket is taken.
 */
// hot: per window
export function largestTriangles(
  points: Float64Array,
  first: number,
  count: number,
  pointsMax: number,
  chosen: Int32Array,
): number {
  if (count <= pointsMax) {
    for (let i = 0; i < count; i++) chosen[i] = i
    return count
  }
  const every = (count - 2) / (pointsMax - 2)
  let beforeX = points[first]
  let beforeY = points[first + 1]
  let start = first + 2
  let end = first + 2 * (Math.floor(every) + 1)
  chosen[0] = 0
  for (let bucket = 1; bucket < pointsMax - 1; bucket++) {
    const nextEnd = first + 2 * Math.min(Math.floor((bucket + 1) * every) + 1, count)
    let sumX = 0
    let sumY = 0
    for (let at = end; at < nextEnd; at += 2) {
      sumX += points[at]
      sumY += points[at + 1]
    }
    const nextCount = (nextEnd - end) / 2
    const width = beforeX - sumX / nextCount
    const height = sumY / nextCount - beforeY
    let largest = -1
    let best = start
    for (let at = start; at < end; at += 2) {
      const area = Math.abs(width * (points[at + 1] - beforeY) - (beforeX - points[at]) * height)
      if (area > largest) {
        largest = area
        best = at
      }
    }
    chosen[bucket] = (best - first) / 2
    beforeX = points[best]
    beforeY = points[best + 1]
    start = end
    end = nextEnd
  }
  chosen[pointsMax - 1] = count - 1
  return pointsMax
}
