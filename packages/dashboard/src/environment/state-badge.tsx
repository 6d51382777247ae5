import { CircleCheck, CircleX, Hourglass, type LucideIcon, Moon, RefreshCw, Trash2 } from 'lucide-react';
import type { ApiEnvironment } from '../api/client.ts';

export type EnvironmentState = ApiEnvironment['state'];

/** In the order in which somebody should look at them. */
export const environmentStates = [
  'failing',
  'rolling',
  'ready',
  'asleep',
  'removing',
] as const satisfies EnvironmentState[];

const looks: Record<EnvironmentState, { icon: LucideIcon; colour: string }> = {
  ready: { icon: CircleCheck, colour: 'text-ready' },
  rolling: { icon: RefreshCw, colour: 'text-rolling' },
  failing: { icon: CircleX, colour: 'text-failing' },
  asleep: { icon: Moon, colour: 'text-asleep' },
  removing: { icon: Trash2, colour: 'text-removing' },
};

/** A state as colour, icon and word. */
export function StateBadge({ environment }: { environment: Pick<ApiEnvironment, 'state' | 'rollout'> }) {
  const { state, rollout } = environment;
  return (
    <span
      data-testid="state"
      data-state={state}
      className={`inline-flex shrink-0 items-center gap-1 text-[12.5px] font-medium ${looks[state].colour}`}
    >
      <StateIcon
        state={state}
        motion={state !== 'rolling' ? 'rests' : rollout?.state === 'waiting' ? 'waits' : 'turns'}
      />
      {state}
    </span>
  );
}

/** `turns`: something is being done; `waits`: an hourglass instead; `rests`: the plain sign. */
export function StateIcon({ state, motion }: { state: EnvironmentState; motion: 'turns' | 'waits' | 'rests' }) {
  const Icon = motion === 'waits' ? Hourglass : looks[state].icon;
  const turns = motion === 'turns' ? 'turning' : '';
  return <Icon className={`size-3.5 shrink-0 ${looks[state].colour} ${turns}`} strokeWidth={2.25} aria-hidden />;
}
