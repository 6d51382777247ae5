import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';
import { ActionScope } from './actions/actions.tsx';
import { ApiError, type Me } from './api/client.ts';
import { Live } from './live/live.tsx';
import { Matrix } from './matrix/matrix.tsx';
import { Panel } from './panel/panel.tsx';
import { Session } from './session/session.tsx';
import { Header } from './shell/header.tsx';
import { useRoute } from './shell/route.ts';
import './style.css';

/*
 * The way of the page: Session asks who it is, Live opens the one stream, Matrix draws what it knows, Panel draws one
 * environment of it, and ActionScope does what a person asks for. What is fetched rather than streamed goes through
 * TanStack Query and is made old by the stream, never by a timer.
 */
const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // The control plane may be on this computer, which needs no network.
      networkMode: 'always',
      refetchOnWindowFocus: false,
      refetchOnReconnect: false,
      retry: (count, error) => count < 3 && error instanceof ApiError && error.kind === 'transient',
    },
    mutations: { networkMode: 'always' },
  },
});

function Page({ me }: { me: Me }) {
  const route = useRoute();
  return (
    <ActionScope role={me.role}>
      <Header me={me} />
      <main>
        {/* On a phone the panel takes the place of the matrix. */}
        <div className={`mx-auto max-w-[1800px] px-4 pb-16 sm:px-6 ${route ? 'max-sm:hidden' : ''}`}>
          <Matrix opened={route && `${route.app}/${route.environment}`} />
        </div>
        {route ? <Panel {...route} /> : null}
      </main>
    </ActionScope>
  );
}

createRoot(document.querySelector('#root')!).render(
  <QueryClientProvider client={queries}>
    <Session>
      {(me) => (
        <Live>
          <Page me={me} />
        </Live>
      )}
    </Session>
  </QueryClientProvider>,
);
