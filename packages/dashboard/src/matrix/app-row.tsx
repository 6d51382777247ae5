import { ChevronDown, ChevronUp } from 'lucide-react';
import { useState } from 'react';
import type { ApiEnvironment } from '../api/client.ts';
import { environmentKey } from '../live/live-store.ts';
import { isOpen } from '../environment/facts.tsx';
import { EnvironmentCard, PreviewCard } from './environment-card.tsx';
import type { AppRow as Row } from './order.ts';
import { PushCommands } from './push-commands.tsx';

/** As many as fill the height of a long-lived environment; the rest is one press away. */
const foldedPreviews = 4;

interface Props {
  row: Row;
  columns: readonly string[];
  opened: string | null;
  /** A filter shows everything it finds; otherwise many previews are folded. */
  isFiltered: boolean;
}

export function AppRow({ row, columns, opened, isFiltered }: Props) {
  const [unfolded, setUnfolded] = useState(false);
  const { previews } = row;
  const isFoldable = !isFiltered && previews.length > foldedPreviews + 1;
  const isWide = !isFoldable ? previews.length > foldedPreviews + 1 : unfolded;
  const shown = isFoldable && !unfolded ? unfoldedPreviews(previews) : previews;
  const hidden = previews.length - shown.length;
  const hiddenFailing = countFailing(previews) - countFailing(shown);

  return (
    <section
      data-testid="app"
      data-app={row.app}
      aria-labelledby={`app-${row.app}`}
      className="row grid gap-x-6 gap-y-3 border-t border-line py-5 lg:grid-cols-[150px_minmax(0,1fr)]"
    >
      <div className="min-w-0">
        <h2 id={`app-${row.app}`} className="text-[15px] font-semibold tracking-tight wrap-anywhere">
          {row.app}
        </h2>
        <p className="flex flex-wrap gap-x-3 text-[12.5px] whitespace-nowrap text-muted">
          <span>{count(row.lasting.length, 'environment')}</span>
          {previews.length > 0 ? <span>{count(previews.length, 'preview')}</span> : null}
        </p>
      </div>
      {row.lasting.length + previews.length === 0 ? (
        <PushCommands app={row.app} cloneUrl={row.cloneUrl} />
      ) : (
        <div
          className={`grid min-w-0 content-start gap-3 ${isWide ? '' : 'xl:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]'}`}
        >
          <Lasting row={row} columns={columns} opened={opened} />
          {previews.length > 0 ? (
            <div className="min-w-0">
              <ul
                aria-label={`Previews of ${row.app}`}
                className="grid gap-2.5 [grid-template-columns:repeat(auto-fill,minmax(min(100%,216px),1fr))]"
              >
                {shown.map((each) => (
                  <li key={environmentKey(each)} className="min-w-0">
                    <PreviewCard environment={each} isOpened={environmentKey(each) === opened} />
                  </li>
                ))}
              </ul>
              {isFoldable ? (
                <button
                  type="button"
                  data-testid="fold"
                  aria-expanded={unfolded}
                  className="mt-2 inline-flex items-center gap-1 rounded text-[12.5px] font-medium text-accent underline-offset-2 hover:underline"
                  onClick={() => setUnfolded(!unfolded)}
                >
                  {unfolded ? (
                    <ChevronUp className="size-3.5" aria-hidden />
                  ) : (
                    <ChevronDown className="size-3.5" aria-hidden />
                  )}
                  {unfolded ? 'Show fewer previews' : `${hidden} more previews`}
                  {hiddenFailing > 0 ? `, ${hiddenFailing} failing` : ''}
                  <span className="sr-only"> of {row.app}</span>
                </button>
              ) : null}
            </div>
          ) : null}
        </div>
      )}
    </section>
  );
}

/** Those that fail or wait come before newer ones for which all is well; of either the newest, in their order. */
function unfoldedPreviews(previews: readonly ApiEnvironment[]): ApiEnvironment[] {
  const needsLook = (each: ApiEnvironment) => each.state === 'failing' || isOpen(each.rollout);
  const urgent = previews.filter(needsLook).slice(0, 2 * foldedPreviews);
  const calm = previews.filter((each) => !needsLook(each)).slice(0, Math.max(2, foldedPreviews - urgent.length));
  return previews.filter((each) => urgent.includes(each) || calm.includes(each));
}

function countFailing(previews: readonly ApiEnvironment[]): number {
  return previews.filter(({ state }) => state === 'failing').length;
}

/** Up to three columns are shared by all apps, so that production is below production; more would not fit and wrap. */
function Lasting({ row, columns, opened }: Pick<Props, 'row' | 'columns' | 'opened'>) {
  if (row.lasting.length === 0) return null;
  const isAligned = columns.length <= 3;
  const cells = isAligned
    ? columns.map((name) => row.lasting.find(({ environment }) => environment === name) ?? null)
    : row.lasting;
  return (
    <ul
      aria-label={`Environments of ${row.app}`}
      style={isAligned ? { gridTemplateColumns: `repeat(${columns.length}, minmax(0, 1fr))` } : undefined}
      className={`grid content-start gap-2.5 ${isAligned ? 'max-md:!grid-cols-1' : '[grid-template-columns:repeat(auto-fill,minmax(min(100%,260px),1fr))]'}`}
    >
      {cells.map((environment, index) =>
        environment ? (
          <li key={environmentKey(environment)} className="min-w-0">
            <EnvironmentCard environment={environment} isOpened={environmentKey(environment) === opened} />
          </li>
        ) : (
          <li key={`none-${columns[index]}`} className="rounded-xl border border-dashed border-line max-md:hidden">
            <span className="sr-only">no {columns[index]}</span>
          </li>
        ),
      )}
    </ul>
  );
}

function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`;
}
