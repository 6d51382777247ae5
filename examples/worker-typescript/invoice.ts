import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DiscardTask, serveTasks } from '@slipway/queue/child';

/**
 * Writes invoices as HTML pages. It stays alive between tasks: the formats of money and dates, which take a moment to load, are loaded once.
 * Payload: `{ number, customer, currency, lines: [{ what, quantity, price }] }`. Output: `invoice.html`; result: `{ total }`.
 */
interface Invoice {
  number: string;
  customer: string;
  currency: string;
  lines: { what: string; quantity: number; price: number }[];
}

const money = new Map<string, Intl.NumberFormat>();

await serveTasks(async (payload, task) => {
  const invoice = checkInvoice(payload);
  const rows: string[] = [];
  let total = 0;
  for (const { what, quantity, price } of invoice.lines) {
    total += quantity * price;
    rows.push(`<tr><td>${escape(what)}<td>${quantity}<td>${format(quantity * price, invoice.currency)}`);
    task.progress(rows.length / invoice.lines.length);
  }
  const page = `<!doctype html>
<title>Invoice ${escape(invoice.number)}</title>
<h1>Invoice ${escape(invoice.number)} for ${escape(invoice.customer)}</h1>
<table>${rows.join('\n')}</table>
<p>Total: ${format(total, invoice.currency)}</p>
`;
  await writeFile(path.join(task.output, 'invoice.html'), page);
  return { total };
});

function format(amount: number, currency: string): string {
  let known = money.get(currency);
  if (known === undefined) {
    known = new Intl.NumberFormat('en', { style: 'currency', currency });
    money.set(currency, known);
  }
  return known.format(amount);
}

/** @throws {DiscardTask} Trying again would not make it an invoice. */
function checkInvoice(payload: unknown): Invoice {
  if (isInvoice(payload)) return payload;
  throw new DiscardTask('this is no invoice: number, customer, currency and lines are needed');
}

function isInvoice(payload: unknown): payload is Invoice {
  if (typeof payload !== 'object' || payload === null) return false;
  const values = new Map<string, unknown>(Object.entries(payload));
  return (
    ['number', 'customer', 'currency'].every((name) => typeof values.get(name) === 'string') &&
    Array.isArray(values.get('lines'))
  );
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
