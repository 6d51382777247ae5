import type { Folder } from './folder.ts';
import { found } from './proposal.ts';
import type { Found, ProposedProcess } from './proposal.ts';

/** Ruby: Rails, Rack, or a lone Sinatra file. */
export async function recogniseRuby(folder: Folder): Promise<Found | null> {
  if (!folder.files.has('Gemfile')) return null;
  const gems = await folder.read('Gemfile');
  const rails = /^\s*gem ["']rails["']/m.test(gems);
  const web: ProposedProcess | null = rails
    ? { name: 'web', run: 'bundle exec rails server -b 0.0.0.0 -p $PORT -P $TMPDIR/server.pid', comment: 'Rails.' }
    : folder.files.has('config.ru')
      ? { name: 'web', run: 'bundle exec rackup --host 0.0.0.0 --port $PORT', comment: 'Rack (config.ru).' }
      : folder.files.has('app.rb')
        ? { name: 'web', run: 'bundle exec ruby app.rb -o 0.0.0.0 -p $PORT', comment: 'A guess, as Sinatra starts.' }
        : null;
  return found('Ruby (Gemfile)', {
    build: 'bundle config set --local path vendor/bundle && bundle install',
    services: web === null ? [] : [web],
    jobs: rails ? [{ name: 'migrate', run: 'bundle exec rails db:migrate', comment: 'Database migrations.' }] : [],
    notes: rails
      ? ['Rails: its logs and temporary files have to go elsewhere than the checkout (RAILS_LOG_TO_STDOUT=1).']
      : [],
  });
}
