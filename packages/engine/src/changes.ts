/** One field that a plan would change in an object; null: it is not there. */
export interface FieldChange {
  path: string;
  before: string | null;
  after: string | null;
}

/** What a plan would do to one object that an engine makes of it. */
export interface ObjectChange {
  change: 'created' | 'changed' | 'deleted';
  kind: string;
  name: string;
  /** Of what is changed. Values that are secret are not told. */
  fields: FieldChange[];
}

/** What became of an attempt, in a dry run, to delete an environment behind Slipway's back. */
export interface Protection {
  namespace: string;
  verdict: 'refused' | 'would be deleted';
  /** What the engine said. */
  answer: string | null;
}
