import { firstFile, openFolder } from './folder.ts';
import type { Folder } from './folder.ts';
import { found } from './proposal.ts';
import type { Found, ProposedProcess } from './proposal.ts';
import path from 'node:path';

const ENTRIES = ['main.py', 'app.py', 'server.py', 'wsgi.py', 'asgi.py'];

/** Python: Django, FastAPI, Flask, or a lone server file; dependencies go into a virtual environment in the checkout. */
export async function recognisePython(folder: Folder): Promise<Found | null> {
  const marker = firstFile(folder, ['manage.py', 'requirements.txt', 'pyproject.toml', 'Pipfile', ...ENTRIES]);
  if (marker === undefined) return null;
  const requirements = `${await folder.read('requirements.txt')}\n${await folder.read('pyproject.toml')}\n${await folder.read('Pipfile')}`;
  const install = installCommand(folder);
  // Through "python -m": it does not depend on where the environment was made.
  const python = install === null ? 'python3' : '.venv/bin/python';
  const notes =
    folder.files.has('Pipfile') && install === null
      ? ['Pipfile is not installed by itself: add a requirements.txt or a build command.']
      : [];
  const has = (name: string): boolean => new RegExp(`(^|["'\\s])${name}\\b`, 'im').test(requirements);
  const web =
    (await django(folder, python, has('gunicorn'), notes)) ??
    (await framework(folder, python, has)) ??
    plain(folder, python);
  return found(`Python (${marker})`, {
    build: install,
    services: web === null ? [] : [web],
    jobs: folder.files.has('manage.py')
      ? [{ name: 'migrate', run: `${python} manage.py migrate --noinput`, comment: 'Database migrations.' }]
      : [],
    test: has('pytest') && install !== null ? `${python} -m pytest -p no:cacheprovider` : null,
    notes,
  });
}

function installCommand(folder: Folder): string | null {
  if (folder.files.has('requirements.txt'))
    return 'python3 -m venv .venv && .venv/bin/python -m pip install -r requirements.txt';
  return folder.files.has('pyproject.toml') ? 'python3 -m venv .venv && .venv/bin/python -m pip install .' : null;
}

async function django(
  folder: Folder,
  python: string,
  gunicorn: boolean,
  notes: string[],
): Promise<ProposedProcess | null> {
  if (!folder.files.has('manage.py')) return null;
  notes.push("Django: let ALLOWED_HOSTS accept the environments' host names.");
  for (const name of folder.folders) {
    const inner = await openFolder(path.join(folder.path, name)).catch(() => null);
    if (gunicorn && inner?.files.has('wsgi.py') === true && /^\w+$/.test(name)) {
      return {
        name: 'web',
        run: `${python} -m gunicorn ${name}.wsgi --bind 0.0.0.0:$PORT`,
        comment: 'Django behind gunicorn.',
      };
    }
  }
  notes.push('Django runs on its development server: add gunicorn to the requirements for anything serious.');
  return {
    name: 'web',
    run: `${python} manage.py runserver --noreload 0.0.0.0:$PORT`,
    comment: "Django's development server.",
  };
}

async function framework(
  folder: Folder,
  python: string,
  has: (name: string) => boolean,
): Promise<ProposedProcess | null> {
  for (const file of ENTRIES.filter((entry) => folder.files.has(entry))) {
    const match = /^(\w+)(?:\s*:\s*\w+)?\s*=\s*(?:\w+\.)?(FastAPI|Starlette|Flask)\(/m.exec(await folder.read(file));
    if (!match) continue;
    const module = file.replace(/\.py$/, '');
    const target = `${module}:${match[1]}`;
    const comment = `${match[2]} object "${match[1]}" in ${file}.`;
    if (match[2] !== 'Flask')
      return { name: 'web', run: `${python} -m uvicorn ${target} --host 0.0.0.0 --port $PORT`, comment };
    if (has('gunicorn')) return { name: 'web', run: `${python} -m gunicorn ${target} --bind 0.0.0.0:$PORT`, comment };
    return {
      name: 'web',
      run: `${python} -m flask --app ${target} run --host 0.0.0.0 --port $PORT`,
      comment: `${comment} gunicorn is better than this development server.`,
    };
  }
  return null;
}

function plain(folder: Folder, python: string): ProposedProcess | null {
  const entry = firstFile(folder, ENTRIES);
  return entry === undefined
    ? null
    : { name: 'web', run: `${python} ${entry}`, comment: 'A guess; it has to listen on $PORT.' };
}
