import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { command } from './command.ts';

export interface ImageOptions {
  /** Repository and tag, e.g. `slipway.test/node:26`. */
  name: string;
  /** Path in the image -> a file of this machine, or a link. */
  files: Record<string, string | { link: string }>;
  entrypoint: string[];
  env?: string[];
}

/** What an image consists of: one layer and what says how it is run. */
export interface ImageParts {
  /** A tar file. */
  layer: string;
  layerDigest: string;
  /** JSON. */
  config: string;
}

/** @param folder For the layer; must exist. */
export async function makeImageParts({ files, entrypoint, env }: ImageOptions, folder: string): Promise<ImageParts> {
  const root = path.join(folder, 'root');
  for (const directory of ['tmp', 'etc', 'dev', 'proc', 'sys'])
    await mkdir(path.join(root, directory), { recursive: true });
  for (const [target, source] of Object.entries(files)) {
    const file = path.join(root, target);
    await mkdir(path.dirname(file), { recursive: true });
    await (typeof source === 'string' ? copyFile(source, file) : symlink(source.link, file));
  }
  const layer = path.join(folder, 'layer.tar');
  await tar(root, ['.'], layer);
  await rm(root, { recursive: true });
  const layerDigest = `sha256:${await sha256(layer)}`;
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Entrypoint: entrypoint, Env: ['PATH=/usr/local/bin:/usr/bin:/bin', ...(env ?? [])], WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: [layerDigest] },
  };
  return { layer, layerDigest, config: JSON.stringify(config) };
}

/**
 * Writes an image as an archive that `ctr images import` and `docker load` take.
 *
 * @param folder For the archive and what it is made of; must exist.
 * @returns The archive's path.
 */
export async function buildImage(options: ImageOptions, folder: string): Promise<string> {
  const work = path.join(folder, options.name.replaceAll(/[^\w.]/g, '-'));
  await mkdir(work);
  const { config } = await makeImageParts(options, work);
  await writeFile(path.join(work, 'config.json'), config);
  const manifest = [{ Config: 'config.json', RepoTags: [options.name], Layers: ['layer.tar'] }];
  await writeFile(path.join(work, 'manifest.json'), JSON.stringify(manifest));
  const archive = `${work}.tar`;
  await tar(work, ['manifest.json', 'config.json', 'layer.tar'], archive);
  await rm(work, { recursive: true });
  return archive;
}

/** A program and the libraries that it is linked with, at the same paths. */
export async function withLibraries(program: string): Promise<Record<string, string>> {
  const listing = await command('ldd', [program]).catch(() => ''); // it is linked statically
  const libraries = [...listing.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
  const files = await Promise.all(libraries.map(async (library) => [library, await realpath(library)] as const));
  return Object.fromEntries(files);
}

async function tar(folder: string, names: string[], archive: string): Promise<void> {
  const plain = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  await command('tar', [...plain, '-C', folder, '-cf', archive, ...names]);
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(file)) hash.update(part as Buffer);
  return hash.digest('hex');
}
