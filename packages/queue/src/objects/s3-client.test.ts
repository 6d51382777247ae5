import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, request as forward } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { AwsV4Signer } from 'aws4fetch';
import { s3Server, type S3Server } from '@slipway/testing';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { ObjectStoreDown, openStore } from './index.ts';
import { elementsOf, s3Client, textOf } from './s3-client.ts';

test('what S3 says is read, also what is written with entities', () => {
  const xml = '<L><Key>a</Key><Key>b&amp;&lt;&#34;&#x22;&apos;&nbsp;</Key><Size>7</Size></L>';
  expect(elementsOf(xml, 'Key')).toHaveLength(2);
  expect(textOf(xml.replace('<Key>a</Key>', ''), 'Key')).toBe('b&<""\'&nbsp;');
  expect(textOf(xml, 'Siz')).toBeNull();
});

test('signatures are those of the published test suite of AWS, with a session token and without', async () => {
  const credential = 'Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request';
  const sign = async (sessionToken?: string) => {
    const signer = new AwsV4Signer({
      method: 'POST',
      url: 'https://example.amazonaws.com/',
      accessKeyId: 'AKIDEXAMPLE',
      secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
      service: 'service',
      region: 'us-east-1',
      datetime: '20150830T123600Z',
      ...(sessionToken !== undefined && { sessionToken }),
    });
    return (await signer.sign()).headers.get('authorization');
  };
  // post-vanilla and post-sts-header-before.
  expect(await sign()).toBe(
    `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b`,
  );
  const token =
    'AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==';
  expect(await sign(token)).toBe(
    `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead`,
  );
});

test('an error without a word of S3 is told by its status, and expired credentials by what to do', async () => {
  let answer = { status: 502, body: 'bad gateway' };
  const server = createServer((_request, response) => void response.writeHead(answer.status).end(answer.body));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => server.close().closeAllConnections());
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = { accessKeyId: 'A', secretAccessKey: 'hush', sessionToken: 'hush-token' };
  const client = s3Client({ url: `${endpoint}/bucket`, region: 'eu-1', credentials, fetch });
  await expect(client({ method: 'GET', key: 'a' })).rejects.toMatchObject({ status: 502, code: null });
  answer = { status: 400, body: '<Error><Code>ExpiredToken</Code><Message>hush</Message></Error>' };
  const variables = { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'hush', AWS_SESSION_TOKEN: 'hush-token' };
  const got = openStore(`s3://bucket?endpoint=${endpoint}`, variables).get('a');
  await expect(got).rejects.toThrow(ObjectStoreDown);
  await expect(got).rejects.toThrow(/400 ExpiredToken.*temporary credentials have run out.*start this process again/);
  await expect(got).rejects.not.toThrow(/hush/);
});

const server = await s3Server('the tests of temporary credentials for S3');

describe.skipIf(server === null)('temporary credentials', () => sessionTokens(server as S3Server));

function sessionTokens(s3: S3Server): void {
  afterAll(async () => await s3.stop());

  // This server knows no temporary credentials: before it stands one that does, and checks signatures as AWS describes it.
  test('every request carries the session token, signed', async () => {
    const secretAccessKey = 'of-temporary-credentials';
    const seen: { method: string; token: unknown; valid: boolean; covered: boolean }[] = [];
    const proxy = createServer((request, response) => {
      const { method = '', url = '', headers } = request;
      const { 'x-amz-security-token': token, authorization: _signature, ...others } = headers;
      const meddled = { method, url, headers: { ...headers, 'x-amz-security-token': 'another' } };
      const valid = isSigned({ method, url, headers }, secretAccessKey);
      seen.push({ method, token, valid, covered: !isSigned(meddled, secretAccessKey) });
      const kept = Object.entries(others).filter(([name]) => !['host', 'connection', 'content-length'].includes(name));
      const own = Object.fromEntries(kept.map(([name, value]) => [name, String(value)]));
      const { accessKeyId, secretAccessKey: secret, region } = s3;
      const signer = new AwsV4Signer({
        method,
        url: `${s3.endpoint}${url}`,
        headers: own,
        service: 's3',
        accessKeyId,
        secretAccessKey: secret,
        region,
      });
      void signer.sign().then((signed) => {
        const length = headers['content-length'];
        const onward = forward(signed.url, {
          method,
          headers: { ...Object.fromEntries(signed.headers), ...(length !== undefined && { 'content-length': length }) },
        });
        onward.on('response', (answer) => {
          response.writeHead(answer.statusCode ?? 500, answer.headers);
          answer.pipe(response);
        });
        request.pipe(onward);
      });
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    onTestFinished(() => proxy.close().closeAllConnections());
    const endpoint = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const store = openStore(`s3://${s3.bucket}/tokens?endpoint=${endpoint}&region=${s3.region}`, {
      AWS_ACCESS_KEY_ID: 'ASIATEMPORARY',
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: 'FwoG/a+token==',
    });
    await store.put('größe 1', Buffer.from('x'));
    await store.put('large', Buffer.alloc(9 * 1024 * 1024));
    expect(await text((await store.get('größe 1')) ?? expect.unreachable('it is missing'))).toBe('x');
    const keys = (await Array.fromAsync(store.list(''))).map(({ key }) => key);
    expect(keys.toSorted()).toEqual(['größe 1', 'large']);
    const failing = Readable.from(
      (async function* () {
        yield Buffer.alloc(20 * 1024 * 1024);
        throw new Error('no more');
      })(),
    );
    await expect(store.put('failing', failing)).rejects.toThrow('no more');
    expect(await store.discardUnfinished(0)).toBe(0);
    await store.delete(keys);
    expect(new Set(seen.map(({ method }) => method))).toEqual(new Set(['PUT', 'POST', 'GET', 'DELETE']));
    for (const { token, valid, covered } of seen) {
      expect({ token, valid, covered }).toEqual({ token: 'FwoG/a+token==', valid: true, covered: true });
    }
    // What is checked here is checked by the real server as well.
    const wrong = openStore(`s3://${s3.bucket}?endpoint=${s3.endpoint}&region=${s3.region}`, {
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
      AWS_SESSION_TOKEN: 'FwoG/a+token==',
    });
    await expect(wrong.get('a')).rejects.toThrow(/400 InvalidToken.*AWS_SESSION_TOKEN is not the one of this key/);
  });
}

/** AWS's Signature Version 4, from its description: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
function isSigned(
  { method, url, headers }: { method: string; url: string; headers: IncomingHttpHeaders },
  secret: string,
): boolean {
  const pattern = /^AWS4-HMAC-SHA256 Credential=[^/]*\/(.*?), SignedHeaders=(.*?), Signature=(.*)$/;
  const [, scope = '', names = '', signature] = pattern.exec(headers.authorization ?? '') ?? [];
  const { pathname, searchParams } = new URL(url, 'http://x');
  const encode = (part: string) =>
    encodeURIComponent(part).replaceAll(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
  const path = decodeURIComponent(pathname).split('/').map(encode).join('/');
  const query = [...searchParams].map(([name, value]) => `${encode(name)}=${encode(value)}`).toSorted();
  const signed = names.split(';').map((name) => `${name}:${String(headers[name])}\n`);
  const payload = String(headers['x-amz-content-sha256']);
  const canonical = [method, path, query.join('&'), signed.join(''), names, payload].join('\n');
  const hash = createHash('sha256').update(canonical).digest('hex');
  const toSign = ['AWS4-HMAC-SHA256', String(headers['x-amz-date']), scope, hash].join('\n');
  const hmac = (key: string | Buffer, said: string) => createHmac('sha256', key).update(said).digest();
  const key = scope.split('/').reduce<Buffer | string>(hmac, `AWS4${secret}`);
  return hmac(key, toSign).toString('hex') === signature;
}
