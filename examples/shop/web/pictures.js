/** Drawings by product, as the inside of an SVG of 48 by 48. */
const drawings = {
  dinghy:
    '<path d="M6 29h36l-5 9a4 4 0 0 1-3.5 2H14.500a4 4 0 0 1-3.5-2z"/><path d="M24 29V8l12 16H24"/><path d="M24 12l-8 12h8"/>',
  lantern:
    '<path d="M16 18h16v20H16zM13 38h22M13 18h22l-5-7H18zM24 11V7"/><path d="M24 24c3 3 3 8 0 9c-3-1-3-6 0-9z"/>',
  rope: '<circle cx="24" cy="24" r="15"/><circle cx="24" cy="24" r="10"/><circle cx="24" cy="24" r="5"/><path d="M36 33l7 8"/>',
  compass:
    '<circle cx="24" cy="24" r="17"/><path d="M31 17l-4 10-10 4 4-10z"/><path d="M24 7v3M24 38v3M7 24h3M38 24h3"/>',
};

/** The drawing of a product, or nothing for one that came after these were made. */
export function picture(product) {
  const drawing = Object.hasOwn(drawings, product) ? drawings[product] : '';
  return `<svg viewBox="0 0 48 48" aria-hidden="true">${drawing}</svg>`;
}

/** A sail, for the browser's tab: no request of its own. */
export const icon = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48"><rect width="48" height="48" rx="12" fill="#0e7490"/><path d="M10 31h28l-4 8H14zM25 8v20h12zM22 14l-9 14h9z" fill="#fff"/></svg>',
)}`;
