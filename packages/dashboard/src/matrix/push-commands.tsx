/** How the first push is made, with the address this page itself came from. */
export function PushCommands({ app, cloneUrl }: { app: string | null; cloneUrl: string | null }) {
  const url = cloneUrl ?? `${location.origin}/git/${app ?? 'my-app'}.git`;
  return (
    <pre
      data-testid="push-commands"
      tabIndex={0}
      aria-label="Commands"
      className="overflow-x-auto rounded-xl border border-line bg-surface px-4 py-3.5 font-mono text-[12.5px] leading-relaxed"
    >
      <span className="text-muted"># in the app’s repository</span>
      {'\n'}
      {app === null ? (
        <>
          slipway init <span className="text-muted"># writes slipway.yaml</span>
          {'\n'}git add slipway.yaml{'\n'}git commit -m "Deploy with Slipway"{'\n'}
        </>
      ) : null}
      git remote add slipway {url}
      {'\n'}git push slipway main <span className="text-muted"># password: an admin’s token</span>
    </pre>
  );
}

/** What is shown before the first app. */
export function NoApps() {
  return (
    <section data-testid="empty" className="mx-auto max-w-[620px] py-[8vh]">
      <h2 className="text-xl font-semibold tracking-tight">Push the first app</h2>
      <p className="mt-2 mb-5 text-muted">
        The first push of an admin creates the app, named like the last part of the address. Its environments appear
        here while the push still runs.
      </p>
      <PushCommands app={null} cloneUrl={null} />
      <p className="mt-4 text-[13px] text-muted">
        git asks for a user name and a password: the name may be anything, the password is the token you logged in with.
      </p>
    </section>
  );
}
