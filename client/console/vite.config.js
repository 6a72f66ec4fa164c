import { defineConfig } from "vite";

export default defineConfig({
  // Below whatever path the server is reached by.
  base: "./",
  // For `npm run dev`: a server that runs at LAPEL, or the demo's.
  server: { proxy: { "^/lapel\\.v1\\.": process.env.LAPEL ?? "http://127.0.0.1:7700" } },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // What the bundle holds of others is served with their terms.
    license: { fileName: "licenses.txt" },
    // Names that stay, since the server lists them; it sends an entity tag with each.
    rollupOptions: {
      output: { entryFileNames: "assets/console.js", assetFileNames: "assets/console[extname]", codeSplitting: false },
    },
  },
});
