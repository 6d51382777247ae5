/** Prices in cents. */
export const products = [
  { id: 'dinghy', name: 'Dinghy', description: 'Two oars, no regrets.', price: 49_900, color: '#0e7490' },
  { id: 'lantern', name: 'Harbour lantern', description: 'Lights the way back in.', price: 5_900, color: '#b45309' },
  { id: 'rope', name: 'Mooring rope', description: 'Ten metres that hold.', price: 2_450, color: '#4d7c0f' },
  { id: 'compass', name: 'Compass', description: 'Points somewhere useful.', price: 7_900, color: '#9f1239' },
];

/** @returns {{ok: true, order: {product: string, quantity: number}} | {ok: false, reason: string}} */
export function readOrder(body) {
  let order;
  try {
    order = JSON.parse(body);
  } catch {
    return { ok: false, reason: 'an order is JSON: {"product": "rope", "quantity": 1}' };
  }
  const { product, quantity = 1 } = order ?? {};
  if (!products.some(({ id }) => id === product)) return { ok: false, reason: `there is no product "${product}"` };
  if (!Number.isInteger(quantity) || quantity < 1 || quantity > 99) {
    return { ok: false, reason: 'quantity is a whole number from 1 to 99' };
  }
  return { ok: true, order: { product, quantity } };
}
