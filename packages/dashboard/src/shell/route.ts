import { useSyncExternalStore } from 'react';

/** What the address bar points at: `#/shop/staging` is an environment, anything else the whole page. */
export interface Route {
  app: string;
  environment: string;
}

export const routeTo = (route: Route) => `#/${encodeURIComponent(route.app)}/${encodeURIComponent(route.environment)}`;

export function useRoute(): Route | null {
  return parse(useSyncExternalStore(onHashChange, () => location.hash));
}

/** Back to the whole page, as a step that the back button undoes. */
export function leaveRoute(): void {
  history.pushState(null, '', location.pathname);
  window.dispatchEvent(new HashChangeEvent('hashchange'));
}

function parse(hash: string): Route | null {
  const [, app, environment] = /^#\/([^/]+)\/([^/]+)$/.exec(hash) ?? [];
  if (!app || !environment) return null;
  try {
    return { app: decodeURIComponent(app), environment: decodeURIComponent(environment) };
  } catch {
    return null;
  }
}

function onHashChange(listener: () => void): () => void {
  window.addEventListener('hashchange', listener);
  return () => window.removeEventListener('hashchange', listener);
}
