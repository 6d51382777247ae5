/** Why a patch can't be applied to an object: the rest of the sentence that begins with its place. */
export class PatchFailed extends Error {}
