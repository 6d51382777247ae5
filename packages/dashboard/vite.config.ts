import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';
import { hashOfSources, stampFile } from './node/sources.ts';

/** The same policy the page needs from a server; in the page itself it holds whoever serves the files. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'";

/** Writes the policy and the font's preload into the page, and the stamp that says which sources the build came from. */
function sealed(): Plugin {
  return {
    name: 'slipway-sealed',
    apply: 'build',
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: stampFile, source: hashOfSources() });
    },
    transformIndexHtml: {
      order: 'post',
      handler(_html, { bundle }) {
        // Loaded with the page rather than after the style sheet, so that text never changes its shape in front of the reader.
        const font = Object.keys(bundle ?? {}).find((name) => /inter-latin-wght-normal.*\.woff2$/.test(name));
        return [
          {
            tag: 'meta',
            attrs: { 'http-equiv': 'Content-Security-Policy', content: policy },
            injectTo: 'head-prepend' as const,
          },
          ...(font
            ? [
                {
                  tag: 'link',
                  attrs: { rel: 'preload', as: 'font', type: 'font/woff2', href: `/${font}`, crossorigin: true },
                  injectTo: 'head' as const,
                },
              ]
            : []),
        ];
      },
    },
  };
}

export default defineConfig({
  plugins: [react(), tailwindcss(), sealed()],
  build: {
    // Data URLs would need holes in the policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/api': process.env['SLIPWAY_URL'] ?? 'http://127.0.0.1:7300' } },
});
