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

/** The store may be another queue's, which would delete what this one stores, and the other way round. Tasks that need it wait. */
export class ObjectStoreForeign extends ObjectStoreDown {
  /**
   * @param found `is marked as that of the queue …`.
   * @param queue Whose store it should be.
   */
  constructor(found: string, queue: string) {
    super(
      `The object store ${found}, and this queue is ${queue}: two queues in one store would delete each other's objects. ` +
        'Nothing was stored or deleted, and what needs the store waits. ' +
        "Give each queue a bucket, prefix or folder of its own. If this one's objects are really there (and the other queue is gone), " +
        `put the text {"queue":"${queue}"} under the key owner.json.`,
    );
    this.name = 'ObjectStoreForeign';
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
