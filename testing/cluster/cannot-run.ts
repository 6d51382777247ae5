/** This machine can't have a cluster, and that is no fault of the code under test: reported as `not run`, not as a failure. */
export class CannotRun extends Error {}
