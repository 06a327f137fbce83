/** How long a build will take, judged by the builds before it. */

import type { Build } from '../api/contract';

/** What a build takes besides its bytes, in seconds. */
const OVERHEAD = 1;
/** Below this a build says nothing about how fast bytes go. */
const TELLING = 1_000_000;

/** Seconds for so many bytes to build and push; null where no build tells. */
export function expectedSeconds(builds: readonly Build[], bytes: number): number | null {
  const speeds = builds
    .flatMap(build => (build.result && build.result.bytes_pushed > TELLING ? build.result : []))
    .slice(0, 5)
    .map(result => result.bytes_pushed / Math.max(result.seconds - OVERHEAD, 0.1))
    .sort((a, b) => a - b);
  const median = speeds[Math.floor(speeds.length / 2)];
  return median ? OVERHEAD + bytes / median : null;
}
