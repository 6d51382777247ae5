import { namesIn } from '../statements/names.ts';
import { parseNotification } from '../statements/tell.ts';

/** The channel on which tasks of a schema are announced, for whoever listens with a connection of its own. */
export function newsChannel(schema: string): string {
  return namesIn(schema).channel;
}

/** The kind that a notification tells about, when it says that there is something to do; null for all other news. */
export function kindWithWork(notification: string): string | null {
  const news = parseNotification(notification);
  return news?.what === 'ready' || news?.what === 'keyed' ? news.kind : null;
}
