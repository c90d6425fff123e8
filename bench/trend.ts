/** Whether something grows: a line through points (least squares). Pure. */

export type Point = { readonly x: number; readonly y: number }

export type Trend = {
  readonly slope: number
  readonly mean: number
  /** What the line rises by from the first point to the last, in percent of the mean; 0 when all is 0. */
  readonly growthPercent: number
}

/** NaN everywhere with less than two different x. */
export function trendOf(points: readonly Point[]): Trend {
  const count = points.length
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / count
  const mean = points.reduce((sum, { y }) => sum + y, 0) / count
  const spread = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0)
  if (count < 2 || spread === 0) return { slope: NaN, mean, growthPercent: NaN }
  const slope = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - mean), 0) / spread
  const xs = points.map(({ x }) => x)
  const rise = slope * (Math.max(...xs) - Math.min(...xs))
  return { slope, mean, growthPercent: rise === 0 ? 0 : (100 * rise) / mean }
}
