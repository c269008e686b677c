import { defineConfig } from "vite";

// The front door serves what lies in dist/; in development the API is asked through the same address.
export default defineConfig({
  build: { target: "es2022", assetsInlineLimit: 0 },
  server: { proxy: { "/leno": process.env.LENO_FRONT_DOOR ?? "http://127.0.0.1:15080" } },
});
