/** How many tasks of each bundle of this process have not ended yet: the end of the last one closes the bundle. */
export class BundleBook {
  readonly #open = new Map<string, number>();

  opened(bundle: string, tasks: number): void {
    this.#open.set(bundle, tasks);
  }

  /** A task of it ended, or left it. @returns whether it was the last one. */
  left(bundle: string): boolean {
    const open = (this.#open.get(bundle) ?? 1) - 1;
    if (open > 0) this.#open.set(bundle, open);
    else this.#open.delete(bundle);
    return open <= 0;
  }
}
