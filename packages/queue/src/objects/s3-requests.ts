import { randomInt } from 'node:crypto';
import { ObjectStoreDown } from './object-errors.ts';
import { S3ServiceError } from './s3-client.ts';

const TRIES = 3;
const FIRST_PAUSE_MS = 100;
/** Said with status 400: damaged on the way, or too slow. */
const PASSING = ['BadDigest', 'IncompleteBody', 'RequestTimeout'];

/**
 * `fetch` that gives up when the other side doesn't move on for `stallSeconds`: until the answer begins (which includes sending
 * the body), and between any two pieces of it while somebody reads. A half-open connection would hang for minutes otherwise.
 */
export function patientFetch(stallSeconds: number): typeof fetch {
  return async function fetchWithPatience(input, init) {
    const abort = new AbortController();
    const move = async <T>(work: Promise<T>): Promise<T> => {
      const timer = setTimeout(
        () => abort.abort(new Error(`nothing moved for ${stallSeconds} s`)),
        stallSeconds * 1_000,
      );
      try {
        return await work;
      } finally {
        clearTimeout(timer);
      }
    };
    const response = await move(fetch(input, { ...init, signal: abort.signal }));
    const reader = response.body?.getReader();
    if (reader === undefined) return response;
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const { done, value } = await move(reader.read());
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: async (reason) => await reader.cancel(reason),
      },
      { highWaterMark: 0 },
    );
    return new Response(body, { status: response.status, statusText: response.statusText, headers: response.headers });
  };
}

/**
 * Makes one request of S3, again when it fails for a reason that passes: stores under load answer 503 now and then, and say that
 * clients should do this.
 *
 * @param store For the message: `bucket b at https://...`.
 * @param doing For the message: `get "k"`.
 * @throws {ObjectStoreDown}
 */
export async function ask<T>(store: string, doing: string, request: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await request();
    } catch (error) {
      if (attempt === TRIES || !isPassing(error)) throw down(store, doing, error);
      await new Promise((resolve) => setTimeout(resolve, FIRST_PAUSE_MS * 4 ** (attempt - 1) + randomInt(50)));
    }
  }
}

/** What S3 calls the failure, e.g. `NoSuchKey`; null for anything else. */
export function serviceCode(error: unknown): string | null {
  return error instanceof S3ServiceError ? error.code : null;
}

/**
 * The message is made of nothing but the status, S3's code and the socket's code: the body of an answer may repeat the access key
 * and what was signed, and the error of a request may hold its headers. For that reason there is no `cause` either.
 */
export function down(store: string, doing: string, error: unknown): ObjectStoreDown {
  if (error instanceof ObjectStoreDown) return error;
  const code = serviceCode(error);
  const reason = error instanceof S3ServiceError ? `it answered ${error.status} ${code ?? ''}`.trim() : reasonOf(error);
  return new ObjectStoreDown(
    `The object store (${store}) can't ${doing}: ${reason}. Nothing was changed, and it can be tried again. ${advice(code)}`,
  );
}

function advice(code: string | null): string {
  switch (code) {
    case 'NoSuchBucket':
      return 'Make the bucket, or correct its name in the URL.';
    case 'AccessDenied':
    case 'InvalidAccessKeyId':
    case 'SignatureDoesNotMatch':
      return 'Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, the region, and that they may list, read, write and delete in this bucket.';
    case 'ExpiredToken':
    case 'InvalidToken':
    case 'TokenRefreshRequired':
      return 'Its temporary credentials have run out, or AWS_SESSION_TOKEN is not the one of this key: start this process again with new ones.';
    case 'RequestTimeTooSkewed':
      return "Set this computer's clock.";
    default:
      return 'Check that it runs and can be reached from here.';
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'it failed';
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string' && /^[A-Z][A-Z0-9_]+$/.test(cause.code)) {
      return `the connection failed with ${cause.code}`;
    }
    if (cause.message.startsWith('nothing moved')) return cause.message;
  }
  return error.message.startsWith('S3 ') ? error.message : 'the connection failed';
}

function isPassing(error: unknown): boolean {
  if (!(error instanceof S3ServiceError)) return true;
  return error.status >= 500 || [408, 429].includes(error.status) || PASSING.includes(serviceCode(error) ?? '');
}
