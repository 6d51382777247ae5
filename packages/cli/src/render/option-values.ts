import { isIP } from 'node:net';
import { SlipwayError } from '@slipway/app';

const NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** Reads the name of a Kubernetes object. @throws {SlipwayError} `mistake` */
export function objectName(option: string, text: string): string {
  if (NAME.test(text)) return text;
  throw new SlipwayError('mistake', `${option} is '${text}'`, {
    hint: 'Give the name of an object: lower-case letters, digits, hyphens and dots.',
  });
}

/** Reads `NAMESPACE/NAME`. @throws {SlipwayError} `mistake` */
export function placeIn(option: string, text: string): { namespace: string; name: string } {
  const [namespace = '', name = '', ...more] = text.split('/');
  if (NAME.test(namespace) && NAME.test(name) && more.length === 0) return { namespace, name };
  throw new SlipwayError('mistake', `${option} is '${text}'`, {
    hint: `Give it with its namespace: ${option} NAMESPACE/NAME`,
  });
}

/** Reads a network such as `10.20.0.0/16`. @throws {SlipwayError} `mistake` */
export function cidr(option: string, text: string): string {
  const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const longest = isIP(address) === 4 ? 32 : isIP(address) === 6 ? 128 : -1;
  if (bits !== '' && Number(bits) <= longest) return text;
  throw new SlipwayError('mistake', `${option} is '${text}'`, { hint: 'Give a network such as 10.20.0.0/16.' });
}
