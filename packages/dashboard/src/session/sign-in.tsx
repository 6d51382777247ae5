import { useMutation } from '@tanstack/react-query';
import { api, type Me } from '../api/client.ts';
import { Problem } from '../shell/problem.tsx';
import { Mark } from '../shell/mark.tsx';

export function SignIn({ refused, onSignedIn }: { refused: Error | null; onSignedIn: (me: Me) => void }) {
  const signIn = useMutation({
    mutationFn: async (token: string) => {
      await api.signIn(token.trim());
      return api.me();
    },
    onSuccess: onSignedIn,
  });
  const error = signIn.error ?? (signIn.isIdle ? refused : null);

  return (
    <main className="grid min-h-dvh place-items-center p-5">
      <form
        data-testid="sign-in"
        className="w-full max-w-[400px] rounded-2xl border border-line bg-surface p-7 sm:p-8"
        onSubmit={(submission) => {
          submission.preventDefault();
          const token = new FormData(submission.currentTarget).get('token');
          if (typeof token === 'string' && !signIn.isPending) signIn.mutate(token);
        }}
      >
        <Mark className="size-9" />
        <h1 className="mt-5 text-xl font-semibold tracking-tight">Log in to Slipway</h1>
        <label htmlFor="token" className="mt-5 block text-[13px] font-medium">
          Token
        </label>
        <input
          id="token"
          name="token"
          type="password"
          required
          autoFocus
          autoComplete="current-password"
          spellCheck={false}
          placeholder="slw_…"
          aria-describedby="token-source"
          className="field mt-1.5 w-full font-mono text-[13px] placeholder:text-muted"
        />
        {error ? <Problem error={error} className="mt-3" /> : null}
        <button
          type="submit"
          className="button button-primary mt-4 w-full !min-h-9 !text-[13.5px]"
          aria-disabled={signIn.isPending}
        >
          {signIn.isPending ? 'Logging in…' : 'Log in'}
        </button>
        <p id="token-source" className="mt-5 border-t border-line pt-4 text-[12.5px] text-muted">
          <code className="font-mono text-ink">slipway up</code> prints a link that logs in by itself. An admin makes
          more tokens with <code className="font-mono text-ink">slipway token create</code>.
        </p>
      </form>
    </main>
  );
}
