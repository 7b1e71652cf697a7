/**
 * Runs the logger wherever people put it, and prints a table: the tests on every Node.js that is supported, the smoke test
 * of the core on Bun and Deno, and testing/environments/: test runners, bundlers, compilers, and what runs TypeScript.
 *
 *     npm run matrix                               everything
 *     npm run matrix -- node@24 bun                some of it
 *     npm run matrix -- jest webpack esbuild lib   the quick ones
 *     npm run matrix -- --others                   all but the tests on the Node.js that runs this
 *     npm run matrix -- --write eslint lib         and put the rows into docs/environments.md, if nothing fails
 *
 * The runtimes come from npm: these packages hold the programs themselves, so that no install script is needed, which
 * npm may block. They are kept in node_modules/.cache/. Exits with 1 where anything fails.
 */
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { availableParallelism, hostname, tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isDeepStrictEqual, parseArgs } from "node:util";

/** Pinned; a newer one is a commit of its own. */
const VERSIONS = {
  "node@20": "20.20.2",
  "node@22": "22.23.3",
  "node@24": "24.21.0",
  "node@26": "26.10.0",
  bun: "1.4.4",
  deno: "2.9.6",
};
const NODES = Object.keys(VERSIONS).filter((name) => name.startsWith("node@"));
/** Longer than any of them takes by far; what hangs must not hang the whole. */
const TIMEOUT_MS = 15 * 60_000;
/** Compiling and sending a few events takes less, on a busy machine too; waiting for `closeTimeoutMs` takes more. */
const PROMPT_MS = 50_000;
const NPM_FLAGS = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"];
/** The environments that need no more than the `dependencies` of testing/environments/package.json. */
const QUICK = ["jest", "webpack", "esbuild", "lib"];
/** Where @types/node is found there: the oldest that counts, and the newest. */
const TYPES = ["types-node20", "@types/node"];
/** What arrives of testing/environments/scenario.cjs. */
const EVENTS = ["INFO order placed 17", "ERROR card declined r1", "INFO from the console"].concat(
  ["Buffer", "Uint8Array", "string"].map((what) => `from a ${what}`),
);
/** What users write. */
const TYPED = `
  import { CloudwatchLogger, type CloudwatchLoggerOptions, type Stats } from "./cloudwatch.js";
  const level = process.env["LOG_LEVEL"];
  const client = { send: () => Promise.resolve(undefined) };
  const options: CloudwatchLoggerOptions = { level, client, fields: () => ({ traceId: "t1" }) };
  const logger = new CloudwatchLogger(process.env["LOG_GROUP"] ?? null, options);
  Promise.reject(new Error("card declined")).catch(logger.error);
  export const stats: Promise<Stats> = logger.close();
`;

const root = fileURLToPath(new URL("..", import.meta.url));
const runtimes = join(root, "node_modules/.cache/runtimes");
const environments = join(root, "testing/environments");
const bins = [environments, root].map((folder) => join(folder, "node_modules/.bin"));
/** What the environments are run with; Node.js, the SDK and Deno would like to say something about versions. */
const ENV = {
  PATH: [...bins, dirname(process.execPath), process.env.PATH].join(delimiter),
  AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true",
  DENO_NO_UPDATE_CHECK: "1",
  NODE_OPTIONS: "--disable-warning=ExperimentalWarning --disable-warning=UNDICI-EHPA",
};
/** A project outside of the repository: the files of the environments, and cloudwatch.ts copied. */
const work = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "cwlogger-matrix-")));
process.on("exit", () => fs.rmSync(work, { recursive: true, force: true }));
/** The npm that runs this, on a Node.js of choice, or the one on the PATH. */
const npm = (node) => (process.env.npm_execpath ? [node, process.env.npm_execpath] : ["npm"]);

const places = environmentRows();
const known = [...new Set([...Object.keys(VERSIONS), ...places.map(({ name }) => name)])];
const options = { others: { type: "boolean" }, write: { type: "boolean" } };
const { values, positionals } = parseArgs({ allowPositionals: true, options });
const unknown = positionals.filter((name) => !known.includes(name));
if (unknown.length > 0) throw new RangeError(`Unknown: ${unknown.join(", ")}. Known are ${known.join(", ")}`);
const running = `node@${process.versions.node.split(".")[0]}`;
const wanted = positionals.length > 0 ? positionals : known;
const names = values.others ? wanted.filter((name) => name !== running) : wanted;

const isOnNodes = places.some(({ name, version }) => version && names.includes(name));
const needed = Object.keys(VERSIONS).filter((name) => names.includes(name) || (isOnNodes && NODES.includes(name)));
const hasEnvironments = names.some((name) => !name.startsWith("node@"));
await Promise.all([
  needed.length > 0 && installRuntimes(),
  hasEnvironments && installEnvironments(),
  mustRun([process.execPath, "build.mjs"], root),
]);
if (hasEnvironments) makeProjects();
const { LocalCloudWatchLogs } = await import(pathToFileURL(join(root, "dist/testing.mjs")));
const service = await LocalCloudWatchLogs.start();

/** What runs or ran to prepare environments, by its command: some share it. */
const prepared = new Map();
const table = ["| where | what | version | result |", "|---|---|---|---|"];
for (const name of names) {
  for (const row of VERSIONS[name] ? await runsOf(name) : places.filter((place) => place.name === name)) {
    const startedAt = performance.now();
    const { trouble, output, result = "pass" } = await (row.counts ? count(row) : look(row));
    if (trouble) {
      process.exitCode = 1;
      console.log(`${output}\n^ ${name}, ${row.what}: ${trouble}`);
    }
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    const cells = [name, row.what, row.version ?? versionOf(row.of ?? name), trouble ? "FAIL" : result];
    table.push(`| ${cells.join(" | ")} |`);
    console.log(`${table.at(-1)} ${seconds} s`);
  }
}
await service.close();
console.log(`\n${table.join("\n")}`);
if (values.write && !process.exitCode) writePage();

// ── Runtimes ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Those that are needed, and what there is. Each Node.js by an alias, for they are versions of one package. */
async function installRuntimes() {
  const platform = process.platform === "win32" ? "win" : process.platform;
  const isThere = (name) => fs.existsSync(join(runtimes, "node_modules", name.replace("@", "")));
  const dependencies = Object.fromEntries(
    Object.entries(VERSIONS)
      .filter(([name]) => needed.includes(name) || isThere(name))
      .map(([name, version]) => [
        name.replace("@", ""),
        name.startsWith("node@") ? `npm:node-${platform}-${process.arch}@${version}` : version,
      ]),
  );
  fs.mkdirSync(runtimes, { recursive: true });
  fs.writeFileSync(join(runtimes, "package.json"), JSON.stringify({ private: true, dependencies }));
  await mustRun([...npm(process.execPath), "install", ...NPM_FLAGS], runtimes);
}

function programOf(name) {
  const extension = process.platform === "win32" ? ".exe" : "";
  if (name.startsWith("node@")) return join(runtimes, "node_modules", name.replace("@", ""), "bin", `node${extension}`);
  // The packages `bun` and `deno` only link their program, which is in a package for this platform, in place.
  const scope = join(runtimes, "node_modules", name === "bun" ? "@oven" : "@deno");
  const programs = fs
    .readdirSync(scope)
    .flatMap((package_) => ["bin", "."].map((inside) => join(scope, package_, inside, name + extension)))
    .filter(fs.existsSync);
  if (programs[0] === undefined) throw new Error(`There is no ${name} for ${process.platform}-${process.arch}`);
  return programs[0];
}

async function runsOf(name) {
  const program = programOf(name);
  const { output } = await mustRun([program, "--version"], root);
  const version = /\d+\.\d+\.\d+/.exec(output)?.[0];
  if (name.startsWith("node@")) {
    // `npm test`, with this Node.js as the `node` of its script and of all programs that the tests start.
    const env = { PATH: dirname(program) + delimiter + process.env.PATH };
    return [{ what: "tests", version, command: [...npm(program), "test"], env, counts: true }];
  }
  const command = name === "bun" ? [program] : [program, "run", "--allow-all", "--no-lock"];
  const smoke = [...command, "testing/smoke.mjs"];
  return [
    { what: "smoke, dist", version, command: smoke, counts: true },
    { what: "smoke, source", version, command: [...smoke, "../cloudwatch.ts", "./local-cloudwatch.ts"], counts: true },
    { name, what: "package", version, command: [...command, "main.mjs"] },
    { name, what: "copied file", version, command: [...command, "copied.mjs"] },
  ];
}

/** Runs what counts its own tests. */
async function count({ command, env }) {
  const { code, output } = await run(command, root, env);
  const counted = (summary, lines) => Number(summary.exec(output)?.[1] ?? output.match(lines)?.length ?? 0);
  const passed = counted(/^(?:#|ℹ) pass (\d+)/m, /^ok /gm);
  const failed = counted(/^(?:#|ℹ) fail (\d+)/m, /^not ok /gm);
  const isGood = code === 0 && passed > 0 && failed === 0;
  return { trouble: isGood ? "" : `ended with ${code}, ${failed} failed`, output, result: `${passed} passed` };
}

// ── Environments ────────────────────────────────────────────────────────────────────────────────────────────────────

/** What npm has installed stays until the lockfile changes. */
async function installEnvironments() {
  const isQuick = names.every((name) => VERSIONS[name] || QUICK.includes(name));
  const timeOf = (file) => fs.statSync(join(environments, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const isOld = timeOf("node_modules/.package-lock.json") < timeOf("package-lock.json");
  if (isOld || !fs.existsSync(join(environments, "node_modules", isQuick ? "jest" : "vitest"))) {
    await mustRun([...npm(process.execPath), "ci", ...(isQuick ? ["--omit=dev"] : []), ...NPM_FLAGS], environments);
  }
}

/** The package and the copied file in them are as new as the build. */
function makeProjects() {
  const modules = join(environments, "node_modules");
  const filter = (path) => basename(path) !== "node_modules";
  const copy = (from, to) => fs.cpSync(from, to, { recursive: true, filter });
  const link = (from, to) => {
    fs.rmSync(to, { recursive: true, force: true });
    fs.mkdirSync(dirname(to), { recursive: true });
    fs.symlinkSync(from, to, "junction");
  };
  fs.rmSync(join(modules, "cwlogger"), { recursive: true, force: true });
  for (const part of ["package.json", "dist"]) copy(join(root, part), join(modules, "cwlogger", part));
  const ours = {
    "@aws-sdk": "@aws-sdk",
    esbuild: "esbuild",
    tsx: "tsx",
    typescript5: "typescript5",
    typescript7: "typescript",
  };
  for (const [name, from] of Object.entries(ours)) link(join(root, "node_modules", from), join(modules, name));
  copy(environments, work);
  link(modules, join(work, "node_modules"));
  copy(join(root, "cloudwatch.ts"), join(work, "cloudwatch.ts"));
  for (const types of TYPES) {
    link(join(modules, types), join(work, types, "node_modules/@types/node"));
    for (const type of ["module", "commonjs"]) {
      const project = join(work, types, type);
      for (const file of ["cloudwatch.ts", "copied.mjs", "scenario.cjs"]) copy(join(work, file), join(project, file));
      fs.writeFileSync(join(project, "index.ts"), TYPED);
      fs.writeFileSync(join(project, "package.json"), JSON.stringify({ type }));
    }
  }
}

/** What is run in `work`: name, what it is, what prepares it, and what then sends events, if anything does. */
function environmentRows() {
  const jest = `jest --silent --cacheDirectory=cache --testTimeout=${PROMPT_MS} globals.test.js`;
  const vitest = `vitest run --silent=true --testTimeout=${PROMPT_MS} modules.test.mjs`;
  const esbuild = "esbuild --bundle --platform=node --log-level=warning";
  const esm = `${esbuild} --format=esm`;
  const rollup = "rollup --silent -p node-resolve,commonjs,json --chunkFileNames=[name].mjs --entryFileNames";
  const vite = "vite build --logLevel=warn --mode";
  const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

  const kinds = [
    ["commonjs", "--module NodeNext"],
    ["module", "--module NodeNext"],
    ["module", "--module ESNext --moduleResolution Bundler"],
    // TypeScript 5 looks modules up as Node 10 did here.
    ["commonjs", "--module CommonJS --esModuleInterop"],
  ];
  const strict = "--strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --skipLibCheck";
  const tsc = (of, lib, types, [type, module], out) => {
    const target = lib === "ES2023" ? "ES2022" : lib;
    return `node node_modules/${of}/bin/tsc ${strict} --lib ${lib} --target ${target} ${module} ${out} ./${types}/${type}/index.ts`;
  };
  const oldest = TYPES.map((types) => tsc("typescript54", "ES2020", types, kinds[0], `--outDir old/${types}`));

  const fake = { FAKE_TIMERS: "1" };
  const compiled = { LOGGER: `./old/${TYPES[0]}/cloudwatch.js` };
  const moduleProgram = `${TYPES[0]}/module/copied.mjs`;
  const copied = { LOGGER: "./cloudwatch", TS_NODE_COMPILER_OPTIONS: '{"module":"CommonJS","target":"ES2020"}' };
  const rows = [
    ["jest", "defaults", [], jest],
    ["jest", "jsdom", [], `${jest} --env=jsdom`],
    ["jest", "fake timers", [], jest, fake],
    ["jest", "jsdom, fake timers", [], `${jest} --env=jsdom`, fake],
    ["jest", "copied file, compiled", oldest, jest, compiled],
    ["ts-jest", "copied file", [], `${jest} --config=ts-jest.json`, copied],
    ["vitest", "defaults", [], vitest],
    ["vitest", "jsdom", [], `${vitest} --environment=jsdom`],
    ["vitest", "fake timers", [], vitest, fake],
    ["mocha", "defaults", [], `mocha --timeout=${PROMPT_MS} globals.test.js`],
    ["webpack", "target node", ["node webpack.cjs"], "node webpack/main.cjs"],
    ["esbuild", "CommonJS, minified", [`${esbuild} main.mjs --minify --outfile=main.cjs`], "node main.cjs"],
    ["esbuild", "ESM, main fields", [`${esm} main.mjs --main-fields=module,main --outfile=a.mjs`], "node a.mjs"],
    [
      "esbuild",
      "ESM, banner",
      [[...`${esm} main.mjs --outfile=b.mjs`.split(" "), `--banner:js=${banner}`]],
      "node b.mjs",
    ],
    ["esbuild", "ESM, tells how", [`${esm} unloadable.mjs --outfile=c.mjs`], "node c.mjs", {}, { isMute: true }],
    ["rollup", "ESM", [`${rollup}=main.mjs main.mjs -d rollup`], "node rollup/main.mjs"],
    ["vite", "SSR", [`${vite} production`], "node vite/production/main.mjs"],
    ["vite", "SSR, all packages inside", [`${vite} bundled`], "node vite/bundled/main.mjs"],
    ["ncc", "ESM", ["ncc build main.mjs -o ncc -q"], "node ncc/index.mjs"],
    ["lib", "ES2020, @types/node 20 and 26", oldest, "node copied.cjs", compiled, { of: "typescript54" }],
    ["eslint", "recommended rules", ["eslint --max-warnings=0 cloudwatch.ts"]],
    ["tsx", "CommonJS", [], "node --import tsx copied.mjs"],
    ["tsx", "ESM", [], `node --import tsx ${moduleProgram}`],
    ["ts-node", "copied file", [], "node --require ts-node/register copied.cjs", copied],
  ];
  for (const of of ["typescript54", "typescript5", "typescript7"]) {
    for (const lib of ["ES2020", "ES2021", "ES2022", "ES2023"]) {
      const prepare = TYPES.flatMap((types) => kinds.map((kind) => tsc(of, lib, types, kind, "--noEmit")));
      rows.push(["typescript", `${lib}, 4 kinds of modules, @types/node 20 and 26`, prepare, "", {}, { of }]);
    }
  }
  for (const node of NODES) {
    const add = (name, what, args, env) => {
      const version = VERSIONS[node];
      rows.push([name, what, [], [programOf(node), ...args], env, { version }]);
    };
    const tests = ["--test", "modules.test.mjs"];
    add("node:test", "defaults", tests);
    add("node:test", "mock timers", tests, fake);
    if (node === "node@20") continue;
    add("strip", "copied file", [moduleProgram]);
    add("proxy", "of the environment", ["main.mjs"], { NODE_USE_ENV_PROXY: "1" });
  }
  return rows.map(([name, what, prepare, command, env, more]) => ({ name, what, prepare, command, env, ...more }));
}

/** Runs an environment; looks at what has arrived, and whether it ended promptly and silently. */
async function look({ name, what, version = "", prepare = [], command, env, isMute = false }) {
  const inWork = (line, more) => run(line.split?.(" ") ?? line, work, { ...ENV, ...more });
  // Jest tells its results on stderr.
  const isStrange = (line) => !/^($|PASS | {2}✓ |Test Suites: |Tests: |Snapshots: |Time: |Ran all )/.test(line);
  const strange = ({ stderr }) => stderr.split("\n").filter(isStrange).join("\n");
  // As many at a time as there are processors: there are compilers by the dozen.
  const steps = prepare.values();
  const turns = Array.from({ length: availableParallelism() }, async () => {
    for (const step of steps) {
      if (!prepared.has(step)) prepared.set(step, inWork(step));
      const result = await prepared.get(step);
      if (result.code !== 0 || strange(result)) return { ...result, trouble: `${step} ended with ${result.code}` };
    }
  });
  const failed = (await Promise.all(turns)).find(Boolean);
  if (failed || !command) return failed ?? { trouble: "" };

  const GROUP = `${name}/${what}/${version}`.replaceAll(/[^\w/]+/g, "_");
  const startedAt = performance.now();
  // The service answers as a proxy too: it does not look at the host of what it is asked.
  const isProxied = env?.NODE_USE_ENV_PROXY === "1";
  const ways = isProxied
    ? { ENDPOINT: "http://nowhere.invalid", HTTP_PROXY: service.endpoint }
    : { ENDPOINT: service.endpoint };
  const ended = await inWork(command, { ...ways, GROUP, ...env });
  const ms = Math.round(performance.now() - startedAt);
  const events = service.events(GROUP).map(({ message }) => {
    const { level, message: text, orderId, requestId } = message.startsWith("{") ? JSON.parse(message) : { message };
    return [level, text, orderId, requestId].filter(Boolean).join(" ");
  });
  const trouble = [
    ended.code !== 0 && `ended with ${ended.code}`,
    ms > PROMPT_MS && `took ${ms} ms`,
    !isMute && strange(ended) && `wrote ${strange(ended)}`,
    !isDeepStrictEqual(events, isMute ? [] : EVENTS) && `what arrived is ${JSON.stringify(events)}`,
    !isDeepStrictEqual(service.logStreams(GROUP), isMute ? [] : [`of ${hostname()}`]) && "another log stream",
    ...service.violations.splice(0),
  ];
  return { trouble: trouble.filter(Boolean).join("; "), output: ended.output };
}

// ── The page ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Rows of what was run take the place of those in docs/environments.md; the others stay. */
function writePage() {
  const page = join(root, "docs/environments.md");
  const nameOf = (row) => row.split(" ")[1];
  const [head, line, ...rows] = table;
  const text = fs.readFileSync(page, "utf8").replace(/(<!-- FIGURE:matrix -->\n).*?(?=<!-- \/FIGURE)/s, (old, mark) => {
    const kept = old.split("\n").filter((row) => known.includes(nameOf(row)) && !names.includes(nameOf(row)));
    const all = [...kept, ...rows].sort((a, b) => known.indexOf(nameOf(a)) - known.indexOf(nameOf(b)));
    return `${[mark.trim(), "", head, line, ...all, ""].join("\n")}\n`;
  });
  fs.writeFileSync(page, text);
}

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Of the package of that name; of Node.js, where there is none. */
function versionOf(name) {
  const file = join(environments, "node_modules", name, "package.json");
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")).version : process.versions.node;
}

async function mustRun(command, cwd) {
  const result = await run(command, cwd);
  if (result.code !== 0) throw new Error(`${command.join(" ")} ended with ${result.code}\n${result.output}`);
  return result;
}

function run([command, ...args], cwd, env = {}) {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"], timeout: TIMEOUT_MS };
    const child = spawn(command, args, options);
    let [output, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
    child.stderr.setEncoding("utf8").on("data", (text) => {
      output += text;
      stderr += text;
    });
    child.on("error", reject).on("close", (code, signal) => resolve({ code: code ?? signal, output, stderr }));
  });
}
