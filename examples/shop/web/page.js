import { icon, picture } from './pictures.js';

const headline = 'Everything for a small boat';

const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const html = (text) => String(text).replace(/[&<>"']/g, (character) => escapes[character]);
const euros = (cents) => `€ ${(cents / 100).toFixed(2)}`;

function card({ id, name, description, price, color }) {
  return `<li>
      <div class="picture" style="background-color: ${html(color)}">${picture(id)}</div>
      <h2>${html(name)}</h2>
      <p>${html(description)}</p>
      <form method="post" action="/order">
        <strong>${euros(price)}</strong>
        <button name="product" value="${html(id)}" aria-label="Order ${html(name)}">Order</button>
      </form>
    </li>`;
}

/**
 * @param {{name: string, products: object[], style: string, notice: string,
 *   release: {number: string, commit: string, environment: string}}} shop
 */
export function page({ name, products, style, notice, release }) {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${html(name)}</title>
    <link rel="icon" href="${html(icon)}">
    <style>${style}</style>
  </head>
  <body>
    <header>
      <span class="name">${html(name)}</span>
      <span class="environment">${html(release.environment)}</span>
    </header>
    <main>
      <h1>${html(headline)}</h1>
      ${notice === '' ? '' : `<p class="notice" role="status">${html(notice)}</p>`}
      <ul>
    ${products.map(card).join('\n    ')}
      </ul>
    </main>
    <footer>Release ${html(release.number)}, commit <code>${html(release.commit.slice(0, 7))}</code></footer>
  </body>
</html>
`;
}
