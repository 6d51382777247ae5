import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { api } from '../api/client.ts';
import { useLive } from '../live/live.tsx';
import { Problem } from '../shell/problem.tsx';
import { AppRow } from './app-row.tsx';
import { matcherOf } from './filter.ts';
import { FilterBar } from './filter-bar.tsx';
import { columnsOf, rowsOf } from './order.ts';
import { NoApps } from './push-commands.tsx';

/** Apps x environments. Nothing is drawn before everything is known, so that nothing moves afterwards. */
export function Matrix({ opened }: { opened: string | null }) {
  const { environments } = useLive();
  const apps = useQuery({ queryKey: ['apps'], queryFn: api.apps, staleTime: Infinity });
  const [filter, setFilter] = useState('');

  const all = useMemo(() => rowsOf(environments?.values() ?? [], apps.data ?? []), [environments, apps.data]);
  const columns = useMemo(() => columnsOf(all), [all]);
  const rows = useMemo(() => {
    if (filter.trim() === '') return all;
    const matches = matcherOf(filter);
    return all
      .map((row) => ({ ...row, lasting: row.lasting.filter(matches), previews: row.previews.filter(matches) }))
      .filter(({ lasting, previews }) => lasting.length + previews.length > 0);
  }, [all, filter]);

  if (environments === null || apps.isPending) return null;
  if (all.length === 0) return apps.error ? <Problem error={apps.error} className="mt-6" /> : <NoApps />;
  return (
    <>
      <FilterBar environments={[...environments.values()]} filter={filter} onFilter={setFilter} />
      {rows.map((row) => (
        <AppRow key={row.app} row={row} columns={columns} opened={opened} isFiltered={filter.trim() !== ''} />
      ))}
      {rows.length === 0 ? (
        <p role="status" data-testid="no-match" className="py-16 text-center text-muted">
          Nothing matches “{filter}”.{' '}
          <button type="button" className="text-accent underline underline-offset-2" onClick={() => setFilter('')}>
            Clear the filter
          </button>
        </p>
      ) : null}
    </>
  );
}
