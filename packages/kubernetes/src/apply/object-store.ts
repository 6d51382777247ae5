import type { Kind } from '../api/resources.ts';
import type { Mark } from './mark.ts';

/** What a change of an object means to its environment. */
export interface StoreListener {
  /** @param drift Who took what over, when somebody edited a field of ours; else null. */
  changed(mark: Mark, drift: string | null): void;
  deleted(mark: Mark, by: 'slipway' | 'somebody'): void;
}

/** Every object that Slipway applied, as the watches show it. */
export class ObjectStore {
  readonly #listener: StoreListener;
  readonly #namespaces = new Map<string, Map<string, Mark>>();
  /** Keys that Slipway deletes itself. */
  readonly #deleting = new Set<string>();

  constructor(listener: StoreListener) {
    this.#listener = listener;
  }

  get(namespace: string, key: string): Mark | undefined {
    return this.#namespaces.get(namespace)?.get(key);
  }

  in(namespace: string): Mark[] {
    return [...(this.#namespaces.get(namespace)?.values() ?? [])];
  }

  /** Every object of a kind, wherever it is. */
  ofKind(kind: Kind): Mark[] {
    return [...this.#namespaces.values()].flatMap((marks) => [...marks.values()].filter((mark) => mark.kind === kind));
  }

  get size(): number {
    return [...this.#namespaces.values()].reduce((sum, marks) => sum + marks.size, 0);
  }

  /** What a watch told. Older news than what is known (an answer to a write comes first at times) is dropped. */
  put(mark: Mark): void {
    const before = this.get(mark.namespace, mark.key);
    if (before !== undefined && before.uid === mark.uid && before.version >= mark.version) return;
    const edited =
      before !== undefined &&
      before.fields !== DRIFTED &&
      before.uid === mark.uid &&
      before.applied === mark.applied &&
      before.fields !== mark.fields;
    // It stays drifted until Slipway's next write, whatever comes between. That somebody wrote to fields of his own is only a question for
    // the first look, when it is not known which ones were ours.
    const drifted = edited || before?.fields === DRIFTED;
    const kept = {
      ...mark,
      fields: drifted ? DRIFTED : mark.fields,
      editor: before === undefined ? mark.editor : before.editor,
    };
    this.#set(kept);
    this.#listener.changed(kept, edited ? told(mark) : null);
  }

  /** What the answer to a write of Slipway told. */
  wrote(mark: Mark): void {
    const before = this.get(mark.namespace, mark.key);
    if (before !== undefined && before.uid === mark.uid && before.version > mark.version) return;
    this.#set({ ...mark, editor: null });
  }

  remove(mark: Mark): void {
    const before = this.get(mark.namespace, mark.key);
    if (before === undefined || before.uid !== mark.uid) return;
    this.#namespaces.get(mark.namespace)?.delete(mark.key);
    if (this.#namespaces.get(mark.namespace)?.size === 0) this.#namespaces.delete(mark.namespace);
    const by = this.#deleting.delete(mark.uid) ? 'slipway' : 'somebody';
    this.#listener.deleted(mark, by);
  }

  /** Everything of a kind that is in none of the marks is gone. */
  replace(kind: Kind, marks: readonly Mark[]): void {
    const there = new Set(marks.map(({ uid }) => uid));
    for (const mark of this.ofKind(kind)) if (!there.has(mark.uid)) this.remove(mark);
    for (const mark of marks) this.put(mark);
  }

  /** The next news that it is gone are no surprise. */
  deleting(mark: Mark): void {
    this.#deleting.add(mark.uid);
  }

  #set(mark: Mark): void {
    const marks = this.#namespaces.get(mark.namespace) ?? new Map<string, Mark>();
    marks.set(mark.key, mark);
    this.#namespaces.set(mark.namespace, marks);
  }
}

/** In the place of the fields: somebody took over some of them. */
export const DRIFTED = 'drifted';

function told({ kind, name, editor }: Mark): string {
  const who = editor?.manager ?? 'somebody';
  const what = editor === null || editor.fields.length === 0 ? 'a field' : editor.fields.join(', ');
  return `${kind} ${name}: "${who}" changed ${what}; Slipway has set it back`;
}
