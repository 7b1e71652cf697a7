import commonjs from "@rollup/plugin-commonjs";
import json from "@rollup/plugin-json";
import { nodeResolve } from "@rollup/plugin-node-resolve";

const output = { dir: "rollup", format: "es", entryFileNames: "[name].mjs", chunkFileNames: "[name].mjs" };
export default { input: "main.mjs", output, plugins: [nodeResolve({ preferBuiltins: true }), commonjs(), json()] };
