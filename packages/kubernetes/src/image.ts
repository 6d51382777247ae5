import { SlipwayError } from '@slipway/app';
import type { App } from '@slipway/app';

/** Where a digest is part of the name, the image is pinned: no tag is looked for. */
export function isPinned(image: string): boolean {
  return image.includes('@');
}

/**
 * The image of a service, worker or job as it was declared. Workers and jobs without one of their own run in the image of the services, if these
 * have one in common.
 *
 * @throws {SlipwayError} `mistake` when there is none.
 */
export function imageOf(app: App, section: 'services' | 'workers' | 'jobs', name: string): string {
  const own = app[section][name]?.image ?? null;
  if (own !== null) return own;
  const shared = [...new Set(Object.values(app.services).map(({ image }) => image))];
  const [image = null] = shared;
  if (section !== 'services' && shared.length === 1 && image !== null) return image;
  const why =
    section === 'services'
      ? 'and Kubernetes runs images only'
      : shared.length > 1
        ? 'and the services have no single one that it could share'
        : 'and there is no service whose image it could share';
  throw new SlipwayError('mistake', `${section}.${name} has no image, ${why}`, {
    hint: `Give it one in slipway.yaml, such as image: registry.example.com/${app.app}/${name}`,
  });
}

/** Every image of an app, each once: services, workers, and jobs that are objects. */
export function imagesOf(app: App): string[] {
  const jobs = Object.entries(app.jobs).filter(([, { when }]) => when !== 'by-hand');
  return [
    ...new Set([
      ...Object.keys(app.services).map((name) => imageOf(app, 'services', name)),
      ...Object.keys(app.workers).map((name) => imageOf(app, 'workers', name)),
      ...jobs.map(([name]) => imageOf(app, 'jobs', name)),
    ]),
  ];
}
