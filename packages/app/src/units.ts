/**
 * How the values of `slipway.yaml` are written. Each reader takes what YAML gave and answers with the value in plain units,
 * or with why it is not one: a hint to put after "found ..., expected ...", empty when there is nothing to add.
 */
export type Reading<T> = { value: T } | { wrong: string };
export type Reader<T> = (value: unknown) => Reading<T>;

const WRONG: { wrong: string } = { wrong: '' };
const SECONDS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };
const BYTES: Record<string, number> = {
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};
const YEAR = 366 * 86_400;

/** `30s`, `5m`, `1h30m`, `500ms` to seconds. A number without a unit is refused: nobody can tell which unit was meant. */
export function duration(options: { atLeast: number }): Reader<number> {
  return (value) => {
    if (typeof value === 'number' && value !== 0) return { wrong: `did you mean "${value}s"?` };
    const text = value === 0 ? '0s' : value;
    if (typeof text !== 'string' || !/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return WRONG;
    let seconds = 0;
    for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
      seconds += Number(amount) * (SECONDS[unit ?? ''] ?? 0);
    }
    if (seconds < options.atLeast) return { wrong: `it must be at least ${options.atLeast}s` };
    return seconds > YEAR ? { wrong: 'it must be at most a year' } : { value: seconds };
  };
}

/** `256Mi`, `2Gi`, `500M` to bytes. */
export function memory(value: unknown): Reading<number> {
  if (typeof value === 'number') return { wrong: `did you mean "${value}Mi"?` };
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)([KMGT]i?)$/.exec(value) : null;
  if (!match) {
    const small = typeof value === 'string' ? /^(\d+(?:\.\d+)?) ?([kmgt])i?b?$/i.exec(value) : null;
    return small ? { wrong: `did you mean "${small[1]}${small[2]?.toUpperCase()}i"?` } : WRONG;
  }
  const bytes = Math.round(Number(match[1]) * (BYTES[match[2] ?? ''] ?? 0));
  if (bytes < 2 ** 20) return { wrong: 'it must be at least 1Mi' };
  return bytes > 64 * 2 ** 40 ? { wrong: 'it must be at most 64Ti' } : { value: bytes };
}

/** `0.25` or `250m` to cores. */
export function cpu(value: unknown): Reading<number> {
  const milli = typeof value === 'string' ? /^(\d+)m$/.exec(value) : null;
  const cores = milli ? Number(milli[1]) / 1000 : value;
  if (typeof cores !== 'number' || !Number.isFinite(cores)) return WRONG;
  if (cores < 0.01) return { wrong: 'it must be at least 0.01' };
  return cores > 1024 ? { wrong: 'it must be at most 1024' } : { value: cores };
}

/** `100/s`, `5/m`, `10/h` to events a second. */
export function rate(value: unknown): Reading<number> {
  if (typeof value === 'number') return { wrong: `did you mean "${value}/s"?` };
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)\/([smhd])$/.exec(value) : null;
  if (!match) return WRONG;
  const perSecond = Number(match[1]) / (SECONDS[match[2] ?? ''] ?? 1);
  return perSecond > 0 ? { value: perSecond } : { wrong: 'it must be more than 0' };
}

/** `5%` to 5. */
export function percentage(value: unknown): Reading<number> {
  if (typeof value === 'number') return { wrong: `did you mean "${value}%"?` };
  const match = typeof value === 'string' ? /^(\d{1,3}(?:\.\d+)?)%$/.exec(value) : null;
  const share = match ? Number(match[1]) : 0;
  return share > 0 && share <= 100 ? { value: share } : WRONG;
}

/** `2` or `2..6`; `atLeast` bounds the smaller number. */
export function replicas(options: { atLeast: number; why: string }): Reader<{ min: number; max: number }> {
  return (value) => {
    const match = /^(\d+)(?:\.\.(\d+))?$/.exec(
      typeof value === 'string' || typeof value === 'number' ? `${value}` : '',
    );
    if (!match) {
      const other = typeof value === 'string' ? /^(\d+) ?(?:-|\.{1,3}|to) ?(\d+)$/.exec(value) : null;
      return other ? { wrong: `did you mean "${other[1]}..${other[2]}"?` } : WRONG;
    }
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : Number(match[2]);
    if (min > max) return { wrong: `did you mean "${max}..${min}"?` };
    if (min < options.atLeast) return { wrong: options.why };
    return max > 1000 ? { wrong: 'it must be at most 1000' } : { value: { min, max } };
  };
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const LONGEST_MONTH = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const CRON_FIELDS = [
  { name: 'minute', min: 0, max: 59, names: [] },
  { name: 'hour', min: 0, max: 23, names: [] },
  { name: 'day of the month', min: 1, max: 31, names: [] },
  { name: 'month', min: 1, max: 12, names: MONTHS },
  { name: 'day of the week', min: 0, max: 7, names: WEEKDAYS },
];

/** Five cron fields: `*`, numbers, names of months and weekdays, ranges, lists, steps. Days that never come are refused. */
export function cron(value: unknown): Reading<string> {
  if (typeof value !== 'string') return WRONG;
  const fields = value.trim().split(/\s+/);
  if (fields.length !== CRON_FIELDS.length) {
    return { wrong: `it has ${fields.length} ${fields.length === 1 ? 'field' : 'fields'}` };
  }
  const values: number[][] = [];
  for (const [index, field] of CRON_FIELDS.entries()) {
    const text = fields[index] ?? '';
    const read = cronField(text, field);
    if (!read) return { wrong: `"${text}" is no valid ${field.name} (${field.min} to ${field.max})` };
    values.push(read);
  }
  const [, , days = [], months = []] = values;
  const possible = months.some((month) => Math.min(...days) <= (LONGEST_MONTH[month - 1] ?? 31));
  if (fields[4] === '*' && !possible) return { wrong: 'that day never comes' };
  return { value: fields.join(' ') };
}

/** Every number a cron field names; null when it is not one. */
function cronField(text: string, field: (typeof CRON_FIELDS)[number]): number[] | null {
  const numbers: number[] = [];
  for (const part of text.split(',')) {
    const match = /^(\*|[a-z0-9]+(?:-[a-z0-9]+)?)(?:\/(\d+))?$/i.exec(part);
    if (!match) return null;
    const [from, to] =
      match[1] === '*' ? [field.min, field.max] : cronRange(match[1] ?? '', field, match[2] !== undefined);
    const step = Number(match[2] ?? 1);
    if (from === undefined || to === undefined || from > to || from < field.min || to > field.max) return null;
    if (step < 1 || step > field.max) return null;
    for (let number = from; number <= to; number += step) numbers.push(number);
  }
  return numbers;
}

function cronRange(text: string, field: (typeof CRON_FIELDS)[number], hasStep: boolean): (number | undefined)[] {
  const numbers = text.split('-').map((word) => {
    const named = field.names.indexOf(word.toLowerCase());
    if (named >= 0) return named + field.min;
    return /^\d{1,2}$/.test(word) ? Number(word) : undefined;
  });
  // `5/15` is read as `5-59/15`, as every cron does.
  if (numbers.length === 1) return [numbers[0], hasStep ? field.max : numbers[0]];
  return [numbers[0], numbers[1]];
}
