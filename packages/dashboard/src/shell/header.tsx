import { useMutation } from '@tanstack/react-query';
import { LogOut } from 'lucide-react';
import { api, type Me } from '../api/client.ts';
import type { Connection } from '../live/live-store.ts';
import { useLive } from '../live/live.tsx';
import { Mark } from './mark.tsx';
import { Problem } from './problem.tsx';

const connectionWords: Record<Connection, string> = {
  connecting: 'connecting',
  live: 'live',
  reconnecting: 'reconnecting',
  paused: 'paused',
};

export function Header({ me }: { me: Me }) {
  const signOut = useMutation({ mutationFn: api.signOut, onSuccess: () => location.reload() });
  const { connection } = useLive();
  return (
    <header className="border-b border-line bg-surface">
      <div className="mx-auto flex h-13 max-w-[1800px] items-center gap-x-4 px-4 sm:px-6">
        <a href="#/" className="flex items-center gap-2.5 rounded-md">
          <Mark className="size-6" />
          <h1 className="text-[15px] font-semibold tracking-tight">Slipway</h1>
        </a>
        <p
          role="status"
          data-testid="connection"
          data-connection={connection}
          title={
            connection === 'reconnecting'
              ? 'What is shown may be old until the control plane answers again.'
              : undefined
          }
          className="flex items-center gap-1.5 text-[12.5px] text-muted"
        >
          <span
            aria-hidden
            className={`size-2 rounded-full ${connection === 'live' ? 'bg-ready' : 'border-[1.5px] border-removing motion-safe:animate-pulse'}`}
          />
          {connectionWords[connection]}
        </p>
        <div className="ml-auto flex min-w-0 items-center gap-3">
          <p data-testid="me" className="min-w-0 truncate text-[12.5px] text-muted">
            <span className="font-medium text-ink">{me.name}</span> <span>({me.role})</span>
          </p>
          <button type="button" className="button" onClick={() => signOut.mutate()}>
            <LogOut className="size-3.5" aria-hidden />
            <span className="max-sm:sr-only">Log out</span>
          </button>
        </div>
      </div>
      {signOut.error ? <Problem error={signOut.error} className="!rounded-none" /> : null}
    </header>
  );
}
