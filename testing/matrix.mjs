/**
 * Runs the tests on every Node.js that is supported, and the smoke test of the core on Bun and Deno.
 *
 *     npm run matrix                       all of them
 *     npm run matrix -- node@24 bun        some of them
 *     npm run matrix -- --others           all but the Node.js that runs this
 *
 * The runtimes come from npm: these packages hold the programs themselves, so that no install script is needed, which
 * npm may block. They are kept in node_modules/.cache/. Exits with 1 where anything fails.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** Pinned; a newer one is a commit of its own. */
const VERSIONS = {
  "node@20": "20.20.2",
  "node@22": "22.23.3",
  "node@24": "24.21.0",
  "node@26": "26.10.0",
  bun: "1.4.4",
  deno: "2.9.6",
};
/** Longer than any of them takes by far; what hangs must not hang the whole. */
const TIMEOUT_MS = 15 * 60_000;

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "node_modules/.cache/runtimes");
/** The npm that runs this, on a Node.js of choice, or the one on the PATH. */
const npm = (node) => (process.env.npm_execpath ? [node, process.env.npm_execpath] : ["npm"]);

const { values, positionals } = parseArgs({ allowPositionals: true, options: { others: { type: "boolean" } } });
const unknown = positionals.filter((name) => !Object.hasOwn(VERSIONS, name));
if (unknown.length > 0) {
  throw new RangeError(`Unknown: ${unknown.join(", ")}. Known are ${Object.keys(VERSIONS).join(", ")}`);
}
const running = `node@${process.versions.node.split(".")[0]}`;
const wanted = positionals.length > 0 ? positionals : Object.keys(VERSIONS);
const names = values.others ? wanted.filter((name) => name !== running) : wanted;

mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, dependencies: dependencies() }));
await mustRun(
  [...npm(process.execPath), "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
  folder,
);
await mustRun([process.execPath, "build.mjs"], root);

const rows = {};
for (const name of names) {
  const program = programOf(name);
  const { output: version } = await mustRun([program, "--version"], root);
  for (const [what, command, env] of runsOf(name, program)) {
    const startedAt = performance.now();
    const { code, output } = await run(command, root, env);
    const passed = count(output, /^(?:#|ℹ) pass (\d+)/m, /^ok /gm);
    const failed = count(output, /^(?:#|ℹ) fail (\d+)/m, /^not ok /gm);
    const ok = code === 0 && passed > 0 && failed === 0;
    if (!ok) {
      process.exitCode = 1;
      console.log(`${output}\n^ ${what} on ${name} ended with ${code}`);
    }
    rows[`${name} ${what}`] = {
      version: /\d+\.\d+\.\d+/.exec(version)?.[0],
      passed,
      failed,
      seconds: Math.round((performance.now() - startedAt) / 1000),
      result: ok ? "pass" : "FAIL",
    };
    console.log(`${name} ${what}: ${rows[`${name} ${what}`].result}`);
  }
}
console.table(rows);

/** Each Node.js by an alias, for they are versions of one package. */
function dependencies() {
  const platform = process.platform === "win32" ? "win" : process.platform;
  return Object.fromEntries(
    Object.entries(VERSIONS).map(([name, version]) => [
      name.replace("@", ""),
      name.startsWith("node@") ? `npm:node-${platform}-${process.arch}@${version}` : version,
    ]),
  );
}

function programOf(name) {
  const extension = process.platform === "win32" ? ".exe" : "";
  if (name.startsWith("node@")) return join(folder, "node_modules", name.replace("@", ""), "bin", `node${extension}`);
  // The packages `bun` and `deno` only link their program, which is in a package for this platform, in place.
  const scope = join(folder, "node_modules", name === "bun" ? "@oven" : "@deno");
  const programs = readdirSync(scope).flatMap((package_) =>
    ["bin", "."].map((inside) => join(scope, package_, inside, name + extension)).filter(existsSync),
  );
  if (programs[0] === undefined) throw new Error(`There is no ${name} for ${process.platform}-${process.arch}`);
  return programs[0];
}

/** What is run: its name, the command, and the environment. */
function runsOf(name, program) {
  const source = ["../cloudwatch.ts", "./local-cloudwatch.ts"];
  if (name === "bun") {
    return [
      ["smoke, dist", [program, "testing/smoke.mjs"], {}],
      ["smoke, source", [program, "testing/smoke.mjs", ...source], {}],
    ];
  }
  if (name === "deno") {
    const deno = [program, "run", "--allow-all", "--no-lock", "testing/smoke.mjs"];
    return [
      ["smoke, dist", deno, { DENO_NO_UPDATE_CHECK: "1" }],
      ["smoke, source", [...deno, ...source], { DENO_NO_UPDATE_CHECK: "1" }],
    ];
  }
  // `npm test`, with this Node.js as the `node` of its script and of all programs that the tests start.
  const path = dirname(program) + delimiter + process.env.PATH;
  return [["tests", [...npm(program), "test"], { PATH: path }]];
}

function count(output, summary, lines) {
  return Number(summary.exec(output)?.[1] ?? output.match(lines)?.length ?? 0);
}

async function mustRun(command, cwd) {
  const result = await run(command, cwd);
  if (result.code !== 0) throw new Error(`${command.join(" ")} ended with ${result.code}\n${result.output}`);
  return result;
}

function run([command, ...args], cwd, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: TIMEOUT_MS,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("error", reject).on("close", (code, signal) => resolve({ code: code ?? signal, output }));
  });
}
