import { text } from './fields.ts';

/** `HOST:PORT/PATH/PATH`, or pinned: `...@sha256:DIGEST`. What is no host (`library/node`) is on Docker Hub. */
const PART = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const HOST = '[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[0-9]{1,5})?';
const IMAGE = new RegExp(`^(?=.{1,300}$)(?:${HOST}/)?${PART}(?:/${PART})*(?:@sha256:[0-9a-f]{64})?$`);

/** The field `image` of services, workers and jobs. */
export const image = () =>
  text(
    'Container image for Kubernetes, without a tag: the commit is the tag. Or one fixed image, NAME@sha256:DIGEST. Default: none.',
    'an image name such as registry.example.com/shop/web',
    { is: IMAGE, hint },
  )
    .nullable()
    .optional();

function hint(value: string): string {
  const bare = value.replace(/^[a-z]+:\/\//i, '').toLowerCase();
  if (bare !== value && IMAGE.test(bare)) return `did you mean "${bare}"?`;
  const [name = '', digest] = value.split('@', 2);
  if (digest !== undefined)
    return /:[^/]*$/.test(name)
      ? 'it has both a tag and a digest: leave the tag out'
      : 'a digest is "sha256:" and 64 hexadecimal digits';
  const tag = /^(.+):([^/:]+)$/.exec(value);
  return tag !== null && IMAGE.test(tag[1] ?? '')
    ? `it has the tag "${tag[2]}": leave it out, because the commit is the tag; to run one fixed image, write ${tag[1]}@sha256:DIGEST`
    : '';
}
