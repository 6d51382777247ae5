/**
 * The store doesn't work right now: it can't be reached, is full, is slow beyond patience, or refuses our credentials. Says nothing
 * about the object, so that a task that meets it waits and is tried again, and doesn't use up a retry.
 */
export class ObjectStoreDown extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ObjectStoreDown';
  }
}

/** The store works, and doesn't have an object that was promised. Trying again doesn't bring it back. */
export class ObjectMissing extends Error {
  readonly key: string;

  constructor(key: string, what: string) {
    super(
      `${what} (object ${JSON.stringify(key)}) is not in the object store: it was deleted, or this is another store.`,
    );
    this.name = 'ObjectMissing';
    this.key = key;
  }
}

/** The store works, and what it has under the key isn't what was put there. Trying again doesn't mend it. */
export class ObjectDamaged extends Error {
  readonly key: string;

  constructor(key: string, what: string, found: string) {
    super(
      `${what} (object ${JSON.stringify(key)}) is damaged: ${found}. Restore it from a backup, or enqueue the task anew.`,
    );
    this.name = 'ObjectDamaged';
    this.key = key;
  }
}

/** What was asked for can't be done, whatever the state of the store: an impossible key, a symlink in the output, a bad URL. */
export class ObjectRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ObjectRefused';
  }
}
