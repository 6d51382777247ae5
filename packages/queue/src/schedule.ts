import { Cron } from 'croner';

/**
 * The next time of a schedule after a given one, in milliseconds since 1970; null: there is none. Daylight saving as croner 11 has it: a
 * single time of day that does not exist is moved to the end of the gap, one that comes twice counts once, the first time; what repeats
 * within the hour goes on through a repeated hour and leaves out a missing one.
 */
export function nextTime(schedule: string, timezone: string, after: number): number | null {
  const cron = new Cron(schedule, { timezone, mode: '5-or-6-parts', paused: true });
  return cron.nextRun(new Date(after))?.getTime() ?? null;
}

/** @throws {Error} that names the field which can't be used. */
export function checkSchedule(cron: { name: string; schedule: string; timezone: string }): void {
  const refuse = (field: string, found: string, expected: string, cause?: unknown) => {
    const reason = cause instanceof Error ? ` (${cause.message})` : '';
    throw new Error(
      `cron '${cron.name}': ${field} is '${found}', expected ${expected}${reason}. The schedule was not changed.`,
      { cause },
    );
  };
  if (!/^\S(.{0,198}\S)?$/.test(cron.name)) refuse('name', cron.name, '1 to 200 characters');
  try {
    Intl.DateTimeFormat('en', { timeZone: cron.timezone });
  } catch (error) {
    refuse('timezone', cron.timezone, "a name from the IANA database, such as 'Europe/Vienna'", error);
  }
  const fields = 'five fields (minute, hour, day, month, weekday), or six with seconds first';
  // croner takes a single date as well.
  if (/^\s*\d{4}-/.test(cron.schedule)) refuse('schedule', cron.schedule, `${fields}; for a single time use 'runAt'`);
  try {
    nextTime(cron.schedule, cron.timezone, 0);
  } catch (error) {
    refuse('schedule', cron.schedule, fields, error);
  }
}
