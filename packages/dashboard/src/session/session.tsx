import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useEffect } from 'react';
import { api, ApiError, type Me } from '../api/client.ts';
import { SignIn } from './sign-in.tsx';

/** The token of a link `/#token=...`, kept until the control plane has answered about it. */
let arrivedToken: string | null = null;

/** Takes the token out of the address bar, so that it is neither bookmarked, copied nor seen over a shoulder. */
function takeTokenFromAddress(): void {
  const token = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (token === undefined) return;
  arrivedToken = token;
  history.replaceState(null, '', location.pathname);
}

/** Null when nobody is logged in. */
async function whoAmI(): Promise<Me | null> {
  takeTokenFromAddress();
  try {
    if (arrivedToken !== null) await api.signIn(arrivedToken);
    arrivedToken = null;
    return await api.me();
  } catch (error) {
    if (!(error instanceof ApiError) || error.kind === 'transient') throw error;
    const wasOffered = arrivedToken !== null;
    arrivedToken = null;
    if (wasOffered)
      throw new ApiError(error.kind, `The token in the link was not accepted: ${error.message}`, error.hint);
    if (error.kind === 'denied') return null;
    throw error;
  }
}

/** Shows its children to who is logged in, and asks everybody else for a token. */
export function Session({ children }: { children: (me: Me) => ReactNode }) {
  const queries = useQueryClient();
  const me = useQuery({
    queryKey: ['me'],
    queryFn: whoAmI,
    staleTime: Infinity,
    retry: (_count, error) => error instanceof ApiError && error.kind === 'transient',
    retryDelay: (count) => Math.min(8_000, 400 * 2 ** count) * (0.5 + Math.random() / 2),
  });

  useEffect(() => {
    const tokenArrived = () => {
      if (location.hash.startsWith('#token=')) void queries.resetQueries({ queryKey: ['me'] });
    };
    window.addEventListener('hashchange', tokenArrived);
    return () => window.removeEventListener('hashchange', tokenArrived);
  }, [queries]);

  const signedIn = (who: Me) => queries.setQueryData(['me'], who);

  if (me.data) return children(me.data);
  if (me.isPending) return me.failureCount > 0 ? <Unreachable /> : null;
  return <SignIn refused={me.error} onSignedIn={signedIn} />;
}

function Unreachable() {
  return (
    <main className="grid min-h-dvh place-items-center p-6 text-center">
      <p role="status" className="text-muted">
        The control plane does not answer yet. Environments keep serving; this page tries again by itself.
      </p>
    </main>
  );
}
