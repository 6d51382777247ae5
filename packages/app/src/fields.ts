import { z } from 'zod';
import { type NameRule, nearestLabel, quote } from './names.ts';
import { nearest } from './nearest.ts';
import { duration } from './units.ts';
import type { Reader, Reading } from './units.ts';

/** The kinds of fields that `slipway.yaml` is made of, each with its description for editors and its answer to what is wrong. */

export const WRONG = { wrong: '' };

/**
 * A field that is one value. `expected` completes the sentence "found ..., expected ...".
 * @param json How editors see it: JSON Schema keywords.
 */
export function leaf<T>(expected: string, json: Record<string, unknown>, read: Reader<T>) {
  return z
    .unknown()
    .transform((value, context): T => {
      const reading = read(value);
      if ('value' in reading) return reading.value;
      const message =
        value === undefined
          ? `is missing, expected ${expected}`
          : `found ${describe(value)}, expected ${expected}${reading.wrong === '' ? '' : `; ${reading.wrong}`}`;
      context.issues.push({ code: 'custom', message, input: value });
      return z.NEVER;
    })
    .meta(json);
}

/** What a person wrote, for a message. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (typeof value === 'string') return value === '' ? 'an empty text' : quote(value);
  if (typeof value === 'number') return `the number ${value}`;
  if (typeof value === 'boolean') return `${value}`;
  return Array.isArray(value) ? 'a list' : 'a mapping';
}

/** @param expected What `found ..., expected ...` says. */
export function text(
  description: string,
  expected: string,
  pattern?: { is: RegExp; hint?: (value: string) => string },
) {
  const json = { type: 'string', minLength: 1, description, ...(pattern ? { pattern: pattern.is.source } : {}) };
  return leaf(expected, json, (value): Reading<string> => {
    if (typeof value === 'number' || typeof value === 'boolean')
      return { wrong: 'put it in quotes if it is meant as text' };
    if (typeof value !== 'string' || value.trim() === '') return WRONG;
    if (value.includes('\0')) return { wrong: 'it holds a NUL character' };
    if (value.length > 10_000) return { wrong: 'it is longer than 10000 characters' };
    return pattern && !pattern.is.test(value) ? { wrong: pattern.hint?.(value) ?? '' } : { value };
  });
}

export function oneOf<const T extends string>(description: string, values: readonly T[]) {
  const list = values.map((value) => `"${value}"`).join(' or ');
  return leaf(list, { enum: values, description }, (value): Reading<T> => {
    const match = values.find((candidate) => candidate === value);
    if (match !== undefined) return { value: match };
    const near = typeof value === 'string' ? nearest(value, values) : null;
    return near === null ? WRONG : { wrong: `did you mean "${near}"?` };
  });
}

export function flag(description: string) {
  return leaf('true or false', { type: 'boolean', description }, (value): Reading<boolean> => {
    if (typeof value === 'boolean') return { value };
    if (typeof value !== 'string') return WRONG;
    if (/^(yes|on|y|true)$/i.test(value)) return { wrong: 'did you mean true?' };
    return /^(no|off|n|false)$/i.test(value) ? { wrong: 'did you mean false?' } : WRONG;
  });
}

export function whole(description: string, min: number, max: number) {
  const json = { type: 'integer', minimum: min, maximum: max, description };
  return leaf(`a whole number from ${min} to ${max}`, json, (value): Reading<number> => {
    const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
    return typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max
      ? { value: number }
      : WRONG;
  });
}

export function seconds(description: string, atLeast: number) {
  return leaf('a duration such as 500ms, 30s, 5m, 72h or 1d', { type: 'string', description }, duration({ atLeast }));
}

/** A duration, or `never` (also an explicit `null`). */
export function secondsOrNever(description: string) {
  const read = duration({ atLeast: 1 });
  return leaf(
    'a duration such as 30m or 72h, or never',
    { type: ['string', 'null'], description },
    (value): Reading<number | null> => (value === 'never' || value === null ? { value: null } : read(value)),
  );
}

export function list(description: string, item: z.ZodType<string>) {
  return z.array(item).meta({ description });
}

/** Maps names to things. A section that is written but empty counts as not written. */
export function section<T extends z.ZodType>(description: string, thing: T) {
  return z.record(z.string(), thing).meta({ description }).nullable().optional();
}

export function nameText(description: string, rule: NameRule) {
  const hint = (value: string): string => {
    const near = nearestLabel(value, rule.pattern);
    return near === null ? '' : `did you mean "${near}"?`;
  };
  return text(description, rule.expected, { is: rule.pattern, hint });
}
