// Build app/web/static/bundle/: each script and stylesheet that a template names, minified, as one file with all that it
// imports. manifest.json has the digests of the files in each, by which the server sees that it is current.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const ROOT = join(import.meta.dirname, "..");
const STATIC = join(ROOT, "app/web/static");
const OUT = process.argv[2] ?? join(STATIC, "bundle");

function namedByTemplates() {
  const folder = join(ROOT, "app/web/templates");
  const templates = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".html"));
  const names = templates.flatMap((name) =>
    [...readFileSync(join(folder, name), "utf8").matchAll(/asset_url\(["']([^"']+\.(?:js|css))["']\)/g)].map((match) => match[1]),
  );
  return [...new Set(names)].filter((name) => !name.startsWith("vendor/")).sort();
}

/** Large packages, minified already: files of their own, imported from where they are. */
const external = {
  name: "vendor",
  setup: ({ onResolve }) =>
    onResolve({ filter: /\/vendor\/echarts-/ }, ({ path }) => ({ path: `../${path}`, external: true })), // from bundle/
};

const digest = (name) => createHash("sha256").update(readFileSync(join(STATIC, name))).digest("hex").slice(0, 16);

rmSync(OUT, { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: namedByTemplates().map((name) => join(STATIC, name)),
  absWorkingDir: STATIC,
  outbase: STATIC,
  outdir: OUT,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  banner: { js: "/* Licences of the packages in this file: ../../client/vendor/ */" },
  metafile: true,
  plugins: [external],
});
const manifest = Object.values(metafile.outputs).map(({ entryPoint, inputs }) => [
  entryPoint,
  Object.fromEntries(Object.keys(inputs).sort().map((name) => [name, digest(name)])),
]);
manifest.sort(([first], [second]) => (first < second ? -1 : 1));
writeFileSync(join(OUT, "manifest.json"), `${JSON.stringify(Object.fromEntries(manifest), null, 2)}\n`);
