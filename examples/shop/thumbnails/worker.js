import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { products } from '../api/products.js';
import { picture } from '../web/pictures.js';

// Makes the thumbnail of one product, as a file. It runs once for each task of its queue, with what the task is about in the file
// SLIPWAY_PAYLOAD and a folder for what it makes in SLIPWAY_OUTPUT; exit code 0 says that the task is done.
const { SLIPWAY_PAYLOAD: payload, SLIPWAY_OUTPUT: output, SHOP_NAME = 'Shop' } = process.env;
const { product: id } = JSON.parse(readFileSync(payload, 'utf8'));

const product = products.find((one) => one.id === id);
if (!product) {
  console.error(`thumbnails: there is no product "${id}"`);
  process.exit(65); // Trying again would not help.
}

const drawing = picture(id)
  .replace(/^<svg [^>]*>/, '')
  .replace('</svg>', '');
const file = `${id}.svg`;
writeFileSync(
  join(output, file),
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48" width="96" height="96"><title>${SHOP_NAME}: ${product.name}</title><rect width="48" height="48" rx="6" fill="${product.color}"/><g fill="none" stroke="#fff" stroke-width="2">${drawing}</g></svg>\n`,
);
writeFileSync(join(output, 'result.json'), JSON.stringify({ product: id, file }));
console.log(`thumbnails: made ${file}`);
