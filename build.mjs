/**
 * Builds what the package holds, into dist/:
 *
 *   cloudwatch.mjs  .cjs  .d.mts  .d.cts   the logger; the AWS SDK stays outside
 *   testing.mjs     .cjs  .d.mts  .d.cts   the local CloudWatch Logs, testing/local-cloudwatch.ts
 *   cwlogger.mjs                           the command, bin/cwlogger.ts
 *   cloudwatch.standalone.mjs              the logger with the AWS SDK inside, for a machine without npm
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, transformSync } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const entryPoints = { cloudwatch: "cloudwatch.ts", testing: "testing/local-cloudwatch.ts" };
const { version } = JSON.parse(read("package.json"));

const banner = read("cloudwatch.ts").split("\n", 1)[0];
if (!banner.startsWith(`// cwlogger ${version} · `)) {
  throw new Error(`package.json says version ${version}, but cloudwatch.ts begins with: ${banner}`);
}

rmSync(join(root, "dist"), { recursive: true, force: true });
await buildModules();
await buildCommand();
buildDeclarations();
await buildStandalone();
printSizes();

async function buildModules() {
  const banners = {
    cloudwatch: banner,
    testing: banner.replace(/·.*?·/, "· a CloudWatch Logs of your own, for tests ·"),
  };
  for (const [name, file] of Object.entries(entryPoints)) {
    for (const [format, extension] of Object.entries({ esm: ".mjs", cjs: ".cjs" })) {
      await build({
        ...settings(),
        // Not bundled, for that would make variables of the constants that V8 is to know as such.
        bundle: false,
        entryPoints: { [name]: file },
        format,
        // Jest runs CommonJS where import() is forbidden; as require() the SDK is loaded no sooner.
        supported: { "dynamic-import": format === "esm" },
        outdir: "dist",
        outExtension: { ".js": extension },
        banner: { js: banners[name] },
        footer: { js: comment(read("LICENSE")) },
      });
    }
  }
}

/** The command takes the logger and the local CloudWatch Logs from the files beside it. */
async function buildCommand() {
  await build({
    ...settings(),
    bundle: false,
    entryPoints: ["bin/cwlogger.ts"],
    format: "esm",
    outfile: "dist/cwlogger.mjs",
    banner: { js: banner.replace(/·.*?·/, "· the command ·") },
    footer: { js: comment(read("LICENSE")) },
  });
  let text = read("dist/cwlogger.mjs");
  for (const [name, file] of Object.entries(entryPoints)) text = text.replaceAll(`"../${file}"`, `"./${name}.mjs"`);
  writeFileSync(join(root, "dist/cwlogger.mjs"), text);
}

/** Declarations of the two kinds have the same text, for neither file imports another one of this repository. */
function buildDeclarations() {
  const folder = mkdtempSync(join(root, "node_modules", ".declarations-"));
  try {
    const config = {
      extends: join(root, "tsconfig.json"),
      compilerOptions: { noEmit: false, declaration: true, emitDeclarationOnly: true, rootDir: root, outDir: folder },
      files: Object.values(entryPoints).map((file) => join(root, file)),
      include: [],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
    execFileSync(process.execPath, [join(typescript, "bin/tsc"), "-p", folder], { stdio: "inherit" });
    for (const [name, file] of Object.entries(entryPoints)) {
      const text = readFileSync(join(folder, file.replace(/\.ts$/, ".d.ts")), "utf8");
      const relative = /(?:from|import\()\s*"\.[^"]*"/.exec(text);
      if (relative) throw new Error(`The declarations of ${file} refer to a file outside of dist: ${relative[0]}`);
      // Newer compilers see @types/node only where it is asked for.
      const declarations = `/// <reference types="node" />\n${text}`;
      for (const extension of [".d.mts", ".d.cts"]) writeFileSync(join(root, "dist", name + extension), declarations);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function buildStandalone() {
  const { metafile } = await build({
    ...settings(),
    entryPoints: { "cloudwatch.standalone": entryPoints.cloudwatch },
    format: "esm",
    outdir: "dist",
    outExtension: { ".js": ".mjs" },
    minify: true,
    // The SDK's ES modules: what is not used of them is left out.
    mainFields: ["module", "main"],
    metafile: true,
    banner: { js: `${banner}\nimport{createRequire}from"node:module";const require=createRequire(import.meta.url);` },
  });
  const file = join(root, "dist/cloudwatch.standalone.mjs");
  const licences = [read("LICENSE"), ...licencesOf(Object.keys(metafile.inputs))];
  writeFileSync(file, readFileSync(file, "utf8") + licences.map(comment).join("\n"));
}

function settings() {
  return {
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    target: "node20",
    charset: "utf8",
    logLevel: "warning",
  };
}

/** The licence texts of the packages that these files belong to, each with the packages that have it. */
function licencesOf(files) {
  const folders = new Set(files.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file) ?? []));
  const licences = new Map();
  for (const folder of [...folders].sort()) {
    const { name, version, license } = JSON.parse(read(`${folder}/package.json`));
    const file = ["LICENSE", "LICENSE.txt", "LICENSE.md"].find((file) => existsSync(join(root, folder, file)));
    const text = file === undefined ? `Licence: ${license}` : read(`${folder}/${file}`);
    // The copies of the Apache licence differ in spaces and in the years of the same owner.
    const key = text.includes("Apache License") ? "Apache" : text.replaceAll(/\s+/g, " ");
    const licence = licences.get(key) ?? { text, packages: [] };
    licence.packages.push(`${name} ${version}`);
    licences.set(key, licence);
  }
  return [...licences.values()].map(({ text, packages }) => `Of ${packages.join(", ")}:\n\n${text}`);
}

function printSizes() {
  const rows = readdirSync(join(root, "dist")).flatMap((name) => {
    if (!/js$/.test(name)) return [];
    const text = read(`dist/${name}`);
    const minified = transformSync(text, { minify: true, legalComments: "none", charset: "utf8" }).code;
    return {
      file: `dist/${name}`,
      bytes: Buffer.byteLength(text),
      minified: Buffer.byteLength(minified),
      "minified and gzipped": gzipSync(minified).length,
    };
  });
  console.table(Object.fromEntries(rows.map(({ file, ...sizes }) => [file, sizes])));
}

function read(file) {
  return readFileSync(join(root, file), "utf8");
}

function comment(text) {
  return `/*\n${text.trim().replaceAll("*/", "* /")}\n*/\n`;
}
