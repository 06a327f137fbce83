/** The rate of transferred bytes over the last few seconds. */

export interface Sample {
  time: number;
  bytes: number;
}

export interface Rate {
  subject?: string;
  samples: Sample[];
  perSecond: number;
}

const WINDOW = 5;

/** The rate after another report of progress; a new subject starts at zero. */
export function rated(rate: Rate, report: { subject: string; time: number; complete: number }): Rate {
  const known = rate.subject === report.subject ? rate.samples : [];
  const samples = [...known.filter(s => report.time - s.time <= WINDOW), { time: report.time, bytes: report.complete }];
  const [first, last] = [samples[0], samples[samples.length - 1]];
  const seconds = first && last ? last.time - first.time : 0;
  const perSecond = first && last && seconds > 0.2 ? Math.max(0, (last.bytes - first.bytes) / seconds) : rate.perSecond;
  return { subject: report.subject, samples: samples.slice(-100), perSecond };
}
