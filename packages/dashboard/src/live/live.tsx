import { useQueryClient } from '@tanstack/react-query';
import { createContext, type ReactNode, useContext, useEffect, useState, useSyncExternalStore } from 'react';
import type { ApiApp, ApiEnvironment, ApiEvent } from '../api/client.ts';
import { LiveStore, type LiveState } from './live-store.ts';

/** A page that stays open for weeks does not grow. */
const keptEvents = 200;

const LiveContext = createContext<LiveStore | null>(null);

/** Runs the one live store for everything inside, and keeps what was fetched (apps, events, `why`) in step with it. */
export function Live({ children }: { children: ReactNode }) {
  const queries = useQueryClient();
  const [store] = useState(
    () =>
      new LiveStore({
        event(event) {
          queries.setQueryData<ApiEvent[]>(['events', event.app, event.environment], (events) =>
            events && !events.some(({ id }) => id === event.id) ? [...events, event].slice(-keptEvents) : events,
          );
          // An app of which no environment is known yet is only told of by its events.
          const known = queries.getQueryData<ApiApp[]>(['apps'])?.some(({ app }) => app === event.app);
          if (event.app !== null && !known) void queries.invalidateQueries({ queryKey: ['apps'] });
        },
        synced() {
          for (const name of ['apps', 'events', 'why']) void queries.invalidateQueries({ queryKey: [name] });
        },
        refused() {
          void queries.invalidateQueries({ queryKey: ['me'] });
        },
      }),
  );
  useEffect(() => {
    store.start();
    return () => store.stop();
  }, [store]);
  return <LiveContext value={store}>{children}</LiveContext>;
}

export function useLive(): LiveState {
  const store = useLiveStore();
  return useSyncExternalStore(store.subscribe, store.snapshot);
}

/** undefined when there is no such environment (any more). */
export function useEnvironment(key: string | null): ApiEnvironment | undefined {
  const store = useLiveStore();
  return useSyncExternalStore(store.subscribe, () =>
    key === null ? undefined : store.snapshot().environments?.get(key),
  );
}

/** The environment that promotions to this one come from; undefined when there is none. */
export function useSource({ app, from }: ApiEnvironment): ApiEnvironment | undefined {
  return useEnvironment(from === null ? null : `${app}/${from}`);
}

function useLiveStore(): LiveStore {
  const store = useContext(LiveContext);
  if (!store) throw new Error('used outside of <Live>');
  return store;
}
