/**
 * Loads a package that is installed in this folder and nowhere else, so that nothing of it reaches the product. Its types are told by who loads it: the type
 * check works without the packages.
 */
export async function loadPeer<Module>(name: string): Promise<Module> {
  return (await import(name)) as Module;
}
