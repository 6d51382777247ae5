// Runs before each deploy, before anything of the new release starts. A real shop changes its database here; it must be
// safe to run again, because a deploy may be repeated.
const { SLIPWAY_ENVIRONMENT = 'this computer', SLIPWAY_RELEASE = 'none' } = process.env;
console.log(`migrate: ${SLIPWAY_ENVIRONMENT}, release ${SLIPWAY_RELEASE}: nothing to change`);
