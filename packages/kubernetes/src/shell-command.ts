/** Words that a shell does itself or that begin a compound command: `exec` before them would fail. */
const BUILT_IN =
  /^(\.|:|alias|break|case|cd|command|continue|eval|exec|exit|export|for|function|if|local|read|readonly|return|set|shift|source|time|times|trap|ulimit|umask|unset|until|wait|while|[A-Za-z_][A-Za-z0-9_]*=.*|[!{[].*)$/;

/**
 * A declared shell command as the command of a container.
 *
 * The shell would be process 1, and process 1 gets no default action for SIGTERM: an app behind it would never hear of the stop and be
 * killed when the grace is over. So a plain command replaces the shell (`exec`). A list or pipeline is left as it is; its last part may
 * begin with `exec` in `slipway.yaml`.
 */
export function shellCommand(run: string): string[] {
  const command = run.trim();
  const first = /^\S+/.exec(command)?.[0] ?? '';
  const plain = !/[;&|\n()`]/.test(command) && !BUILT_IN.test(first) && !/^[<>]/.test(first);
  return ['sh', '-c', literal(plain ? `exec ${command}` : command)];
}

/** Kubernetes replaces `$(NAME)` and `$$` in commands and in values of `env`; this is how a text is meant as it is. */
export function literal(text: string): string {
  return text.replaceAll(/\$(?=[$(])/g, '$$$$');
}
