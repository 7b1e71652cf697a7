const webpack = require("webpack");

// Not minified, which takes most of the time, and is what esbuild is asked to do.
const options = { target: "node", mode: "production", optimization: { minimize: false } };
const output = { path: `${__dirname}/webpack`, filename: "main.cjs" };
webpack({ ...options, entry: "./main.mjs", output }, (error, stats) => {
  if (error) throw error;
  if (stats.hasErrors() || stats.hasWarnings()) console.error(stats.toString("errors-warnings"));
});
