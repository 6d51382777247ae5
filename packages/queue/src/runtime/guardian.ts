import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Reads "add GROUP" and "del GROUP" until its input ends, which also happens when the supervisor is killed; then it kills those groups, and
 * whatever left them but carries a mark of this supervisor. $1: the beginning of the mark; $2: folder of cgroups, or nothing.
 * Signals to a whole terminal or service must not end it before the supervisor.
 */
const script = `
trap '' TERM INT HUP
groups=
while read -r verb group; do
  case $verb in
    add) groups="$groups $group " ;;
    del) case $groups in *" $group "*) groups="\${groups%%" $group "*}\${groups#*" $group "}" ;; esac ;;
  esac
done
for group in $groups; do kill -9 "-$group" 2>/dev/null; done
if [ -n "$2" ]; then
  for group in "$2"/*/cgroup.kill; do [ -e "$group" ] && echo 1 > "$group"; done
fi
if [ -n "$groups" ]; then
  round=0
  while [ $round -lt 20 ]; do
    found=
    for file in $(grep -ls "$1" /proc/[0-9]*/environ 2>/dev/null); do
      pid=\${file#/proc/}
      kill -9 "\${pid%/environ}" 2>/dev/null && found=yes
    done
    [ -n "$found" ] || break
    round=$((round + 1))
  done
fi
if [ -n "$2" ]; then
  for group in "$2"/*/; do rmdir "$group" 2>/dev/null; done
fi
exit 0
`;

/**
 * Sees to it that no attempt outlives its supervisor: a small process in a session of its own, which notices the supervisor's end, also by
 * kill -9, by the end of a pipe, and kills what the supervisor had started. Should it be killed itself, another one is started.
 */
export class Guardian {
  readonly #groups = new Set<number>();
  readonly #markStart: string;
  readonly #cgroups: string;
  #process: ChildProcess | null = null;
  #stopped = true;

  constructor(markStart: string, cgroups: string | null) {
    this.#markStart = markStart;
    this.#cgroups = cgroups ?? '';
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#launch();
  }

  /** Call it before anything of the group does something: what is told is acted upon even if this process is killed right after. */
  add(group: number): void {
    this.#groups.add(group);
    this.#tell(`add ${group}\n`);
  }

  delete(group: number): void {
    this.#groups.delete(group);
    this.#tell(`del ${group}\n`);
  }

  /** Kills what was added and not deleted. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    const guardian = this.#process;
    if (guardian === null || guardian.exitCode !== null) return;
    const ended = new Promise((resolve) => guardian.once('exit', resolve));
    guardian.ref();
    guardian.stdin?.end();
    await ended;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  #launch(): void {
    const guardian = spawn('/bin/sh', ['-c', script, 'slipway-guardian', this.#markStart, this.#cgroups], {
      cwd: '/',
      env: { PATH: process.env['PATH'] },
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#process = guardian;
    guardian.unref();
    guardian.on('error', () => undefined); // tried again with the next attempt
    guardian.stdin.on('error', () => undefined); // its end is heard below
    guardian.on('exit', () => {
      if (this.#process === guardian && !this.#stopped) this.#launch();
    });
    for (const group of this.#groups) this.#tell(`add ${group}\n`);
  }

  #tell(line: string): void {
    if (this.#process?.pid === undefined && !this.#stopped) this.#launch();
    else this.#process?.stdin?.write(line);
  }
}
