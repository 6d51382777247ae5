import mark from './mark.svg';

/** The product's sign: a hull on its slip. */
export function Mark({ className }: { className: string }) {
  return <img src={mark} alt="" width={32} height={32} className={className} />;
}
