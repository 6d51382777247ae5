import { useSyncExternalStore } from 'react';

const subscribers = new Set<() => void>();
let timer: number | undefined;

/** One timer for the page, running only while some text depends on it. */
function everySecond(subscriber: () => void): () => void {
  subscribers.add(subscriber);
  timer ??= window.setInterval(() => {
    for (const each of subscribers) each();
  }, 1000);
  return () => {
    subscribers.delete(subscriber);
    if (subscribers.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** Text that depends on the time of day; the component is drawn again only when the text changes. */
export function useClockText(text: (now: number) => string): string {
  return useSyncExternalStore(everySecond, () => text(Date.now()));
}

/** `8 s`, `3 min 20 s`, `2 h 5 min`. A clock that differs from the control plane's never makes it negative. */
export function elapsed(since: string, now: number): string {
  const seconds = Math.max(0, Math.floor((now - Date.parse(since)) / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `71 h`, `40 min`; `a moment` when less than a minute is left. */
export function remaining(until: string, now: number): string {
  const minutes = Math.floor((Date.parse(until) - now) / 60_000);
  if (minutes < 1) return 'a moment';
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}

/** `just now`, `5 min ago`, `3 h ago`, `12 d ago`. */
export function ago(time: string, now: number): string {
  const minutes = Math.floor((now - Date.parse(time)) / 60_000);
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return `${Math.floor(minutes / 1440)} d ago`;
}
