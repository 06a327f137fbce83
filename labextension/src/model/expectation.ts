/** The expected duration of a build, from earlier builds. */

import type { Build } from '../api/contract';

/** The duration of a build without any bytes, in seconds. */
const OVERHEAD = 1;
/** The smallest number of bytes from which a speed is measured. */
const TELLING = 1_000_000;

/** The seconds to build and push some bytes; null if no earlier build gives a speed. */
export function expectedSeconds(builds: readonly Build[], bytes: number): number | null {
  const speeds = builds
    .flatMap(build => (build.result && build.result.bytes_pushed > TELLING ? build.result : []))
    .slice(0, 5)
    .map(result => result.bytes_pushed / Math.max(result.seconds - OVERHEAD, 0.1))
    .sort((a, b) => a - b);
  const median = speeds[Math.floor(speeds.length / 2)];
  return median ? OVERHEAD + bytes / median : null;
}
