import { ArrowBigUpDash, Check, type LucideIcon, RotateCcw } from 'lucide-react';
import { createContext, type ReactNode, useContext, useState } from 'react';
import type { ApiEnvironment, Role } from '../api/client.ts';
import { environmentKey } from '../live/live-store.ts';
import { useSource } from '../live/live.tsx';
import { Confirm } from './confirm.tsx';
import { type Action, actionNames, possibleActions } from './possible.ts';

const icons: Record<Action, LucideIcon> = { approve: Check, promote: ArrowBigUpDash, rollback: RotateCcw };

interface Offer {
  role: Role;
  ask: (action: Action, key: string) => void;
}

const OfferContext = createContext<Offer | null>(null);

/** Lets everything inside offer actions; each is done only after a dialog that says what will happen. */
export function ActionScope({ role, children }: { role: Role; children: ReactNode }) {
  const [asked, setAsked] = useState<{ action: Action; key: string } | null>(null);
  const [offer] = useState<Offer>(() => ({ role, ask: (action, key) => setAsked({ action, key }) }));
  return (
    <OfferContext value={offer}>
      {children}
      {asked ? (
        <Confirm action={asked.action} environmentKey={asked.key} role={role} onClose={() => setAsked(null)} />
      ) : null}
    </OfferContext>
  );
}

export function Actions({ environment }: { environment: ApiEnvironment }) {
  const offer = useContext(OfferContext);
  const source = useSource(environment);
  const actions = offer ? possibleActions(environment, source, offer.role) : [];
  if (!offer || actions.length === 0) return null;
  const isNews = source?.release?.commit !== environment.release?.commit;
  return (
    <div className="relative z-10 flex flex-wrap gap-1.5">
      {actions.map((action) => {
        const Icon = icons[action];
        const isPrimary = action === 'approve' || (action === 'promote' && isNews);
        return (
          <button
            key={action}
            type="button"
            data-testid={action}
            className={`button ${isPrimary ? 'button-primary' : ''}`}
            aria-label={`${actionNames[action]} ${environmentKey(environment)}`}
            onClick={() => offer.ask(action, environmentKey(environment))}
          >
            <Icon className="size-3.5" aria-hidden />
            {actionNames[action]}
          </button>
        );
      })}
    </div>
  );
}
