/** How many tasks of each bundle of this process have not ended yet: with the last one the bundle closes. */
export class BundleBook {
  readonly #open = new Map<string, number>();

  opened(bundle: string, tasks: number): void {
    this.#open.set(bundle, tasks);
  }

  /** 0: closed, or forgotten. */
  open(bundle: string): number {
    return this.#open.get(bundle) ?? 0;
  }

  /** It is written that so many of its tasks ended, or left it. @returns whether they were the last ones. */
  left(bundle: string, tasks: number): boolean {
    const open = this.open(bundle);
    if (open > tasks) this.#open.set(bundle, open - tasks);
    else this.#open.delete(bundle);
    return open > 0 && open <= tasks;
  }
}
