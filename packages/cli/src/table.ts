import { stripVTControlCharacters, styleText } from 'node:util';

/**
 * Lays rows out in columns, two blanks apart, as wide as their widest cell. Cells may be coloured; of one with several lines
 * the first is shown.
 *
 * @param header Column titles.
 * @returns Lines without trailing blanks, joined; no line break at the end.
 */
export function table(header: string[], cells: string[][]): string {
  const titles = header.map((title) => dim(title));
  const rows = cells.map((row) => row.map((cell) => cell.split('\n', 1)[0] ?? ''));
  const widths = header.map((_, column) =>
    Math.max(...[titles, ...rows].map((row) => visibleWidth(row[column] ?? ''))),
  );
  return [titles, ...rows].map((row) => alignRow(row, widths)).join('\n');
}

/** Lays `name  value` lines out; what is null is left out, and further lines of a value are indented. */
export function facts(entries: [name: string, value: string | null][]): string {
  const shown = entries.filter((entry): entry is [string, string] => entry[1] !== null);
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${dim(name.padEnd(width))}  ${indented(value, width + 2)}`).join('\n');
}

function indented(text: string, columns: number): string {
  return text.trimEnd().replaceAll('\n', `\n${' '.repeat(columns)}`);
}

export function dim(text: string): string {
  return styleText('dim', text, { stream: process.stdout });
}

function alignRow(row: string[], widths: number[]): string {
  return row
    .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - visibleWidth(cell)))
    .join('  ')
    .trimEnd();
}

/** Columns on a terminal: wide characters (East Asian, emoji) take two. */
function visibleWidth(text: string): number {
  let width = 0;
  for (const { segment } of new Intl.Segmenter().segment(stripVTControlCharacters(text))) {
    width +=
      /\p{Emoji_Presentation}|[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60]/u.test(
        segment,
      )
        ? 2
        : 1;
  }
  return width;
}
