import { Search } from 'lucide-react';
import { useEffect, useRef } from 'react';
import type { ApiEnvironment } from '../api/client.ts';
import { environmentStates, StateIcon } from '../environment/state-badge.tsx';

interface Props {
  environments: readonly ApiEnvironment[];
  filter: string;
  onFilter: (filter: string) => void;
}

/** The counts by state are filters too; `/` goes to the box from anywhere. */
export function FilterBar({ environments, filter, onFilter }: Props) {
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const focusBox = (press: KeyboardEvent) => {
      const isTyping =
        press.target instanceof HTMLElement &&
        press.target.matches('input:not([type=radio],[type=checkbox]), textarea');
      if (
        press.key !== '/' ||
        press.ctrlKey ||
        press.metaKey ||
        press.altKey ||
        isTyping ||
        document.querySelector('dialog[open]')
      )
        return;
      press.preventDefault();
      box.current?.focus();
      box.current?.select();
    };
    document.addEventListener('keydown', focusBox);
    return () => document.removeEventListener('keydown', focusBox);
  }, []);

  return (
    <div className="z-20 -mx-2 flex flex-wrap items-center gap-x-4 gap-y-2.5 bg-ground px-2 py-3 md:sticky md:top-0">
      <div role="group" aria-label="Environments by state" className="flex flex-wrap gap-1.5">
        {environmentStates.map((state) => {
          const count = environments.filter((environment) => environment.state === state).length;
          const isChosen = filter === state;
          return count === 0 && !isChosen ? null : (
            <button
              key={state}
              type="button"
              data-testid={`count-${state}`}
              aria-pressed={isChosen}
              className={`button !gap-1.5 ${isChosen ? '!border-accent !bg-accent-soft' : ''}`}
              onClick={() => onFilter(isChosen ? '' : state)}
            >
              <StateIcon state={state} motion="rests" />
              {count} <span className="font-normal text-muted">{state}</span>
            </button>
          );
        })}
      </div>
      <label className="relative ml-auto w-full sm:w-72">
        <span className="sr-only">Filter environments</span>
        <Search
          className="pointer-events-none absolute top-1/2 left-2.5 size-3.5 -translate-y-1/2 text-muted"
          aria-hidden
        />
        <input
          ref={box}
          type="search"
          data-testid="filter"
          value={filter}
          placeholder="Filter by app, branch, state"
          aria-keyshortcuts="/"
          className="field h-8 w-full !border-line !py-0 !pr-8 !pl-8 text-[13px] placeholder:text-muted [&::-webkit-search-cancel-button]:hidden"
          onChange={(change) => onFilter(change.currentTarget.value)}
          onKeyDown={(press) => {
            if (press.key !== 'Escape') return;
            press.stopPropagation();
            if (filter === '') press.currentTarget.blur();
            onFilter('');
          }}
        />
        <kbd
          aria-hidden
          className="pointer-events-none absolute top-1/2 right-2 -translate-y-1/2 rounded border border-line px-1.5 font-mono text-[11px] text-muted"
        >
          /
        </kbd>
      </label>
    </div>
  );
}
