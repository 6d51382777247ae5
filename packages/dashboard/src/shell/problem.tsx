import { CircleAlert } from 'lucide-react';
import { ApiError } from '../api/client.ts';
import { Prose } from './prose.tsx';

/** What went wrong and what to do about it, read out at once. */
export function Problem({ error, className = '' }: { error: Error; className?: string }) {
  const hint =
    error instanceof ApiError ? error.hint : 'This is a bug in the dashboard; loading the page again may help.';
  return (
    <div
      role="alert"
      data-testid="problem"
      className={`flex gap-2 rounded-lg bg-failing-soft px-3 py-2.5 text-[13px] ${className}`}
    >
      <CircleAlert className="mt-0.5 size-4 shrink-0 text-failing" aria-hidden />
      <div className="min-w-0 wrap-anywhere">
        <p className="font-medium text-failing">
          <Prose text={error.message} />
        </p>
        {hint ? (
          <p className="mt-0.5 text-ink">
            <Prose text={hint} />
          </p>
        ) : null}
      </div>
    </div>
  );
}
