import { request, type RequestOptions } from 'node:http';

/**
 * Asks over plain `node:http`, so that the supervisor stays small.
 *
 * @returns the body of a 2xx answer; null for any other, or for none within `seconds`.
 */
export function ask(where: RequestOptions, seconds = 1): Promise<string | null> {
  return new Promise((resolve) => {
    const asking = request(where);
    const timer = setTimeout(() => asking.destroy(), seconds * 1000);
    asking.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve((response.statusCode ?? 500) < 300 ? body : null));
    });
    asking.on('error', () => resolve(null));
    asking.on('close', () => {
      clearTimeout(timer);
      resolve(null);
    });
    asking.end();
  });
}
