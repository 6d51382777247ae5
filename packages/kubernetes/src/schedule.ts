const DAYS_OF_WEEK = 4;

/**
 * Five cron fields as Kubernetes reads them. It knows Sunday as 0 only and reads `5/2` as `5-6/2`, where `slipway.yaml` also takes 7, and
 * reads it as `5-7/2`; such days of the week are written out.
 */
export function kubernetesSchedule(schedule: string): string {
  const fields = schedule.split(' ');
  const days = fields[DAYS_OF_WEEK] ?? '*';
  return [...fields.slice(0, DAYS_OF_WEEK), days.split(',').map(withoutSeven).join(',')].join(' ');
}

function withoutSeven(part: string): string {
  const match = /^(\d)(?:-(\d))?(?:\/(\d+))?$/.exec(part);
  if (!match) return part;
  const [, first, last, step] = match;
  const from = Number(first);
  const to = last === undefined ? (step === undefined ? from : 7) : Number(last);
  if (to < 7) return part;
  const days = new Set<number>();
  for (let day = from; day <= to; day += Number(step ?? 1)) days.add(day % 7);
  return [...days].sort((a, b) => a - b).join(',');
}
