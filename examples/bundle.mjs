// Bundling, here for AWS Lambda.     npm install --save-dev esbuild webpack && node bundle.mjs
import { join } from "node:path";
import { build } from "esbuild";
import webpack from "webpack";

const entry = join(import.meta.dirname, "lambda.mjs");
const folder = join(import.meta.dirname, "dist");

// esbuild, CommonJS.
const common = { entryPoints: [entry], bundle: true, platform: "node", target: "node20" };
await build({ ...common, format: "cjs", outfile: join(folder, "esbuild.cjs") });

// esbuild, ES modules. `mainFields` takes the ES modules of the AWS SDK; its CommonJS ones need a `require`.
await build({ ...common, format: "esm", mainFields: ["module", "main"], outfile: join(folder, "esbuild.mjs") });

// webpack 5. Without `minimize`, stack traces can be read.
const output = { path: folder, filename: "webpack.cjs", library: { type: "commonjs2" } };
await new Promise((resolve, reject) => {
  webpack({ entry, output, target: "node", mode: "production", optimization: { minimize: false } }, (error, stats) => {
    if (error || stats.hasErrors()) reject(error ?? new Error(stats.toString()));
    else resolve();
  });
});

// To leave the AWS SDK to the machine: esbuild `packages: "external"`, webpack `externals: /^@aws-sdk\//`.
