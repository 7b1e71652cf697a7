/**
 * Runs the logger wherever people put it, and prints a table: the tests on every Node.js that is supported, the smoke test
 * of the core on Bun and Deno, and testing/environments/: test runners, bundlers, compilers, and what runs TypeScript.
 *
 *     npm run matrix                               everything
 *     npm run matrix -- node@24 bun                some of it
 *     npm run matrix -- jest webpack esbuild lib   the quick ones
 *     npm run matrix -- --others                   all but the tests on the Node.js that runs this
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
/** Longer than any of them takes by far; what hangs must not hang the whole. */
const TIMEOUT_MS = 15 * 60_000;
/** Sending a few events takes less, on a busy machine too; waiting for `closeTimeoutMs` takes more. */
const PROMPT_MS = 7_500;
const NPM_FLAGS = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"];
/** The environments that need no more than the `dependencies` of testing/environments/package.json. */
const QUICK = ["jest", "webpack", "esbuild", "lib"];
/** Where @types/node is found there: the oldest that counts, and the newest. */
const TYPES = ["types-node20", "@types/node"];
/** Of the SDK and Deno, which have something to say on stderr about versions. */
const SILENT = { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true", DENO_NO_UPDATE_CHECK: "1" };
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
/** A project outside of the repository: the files of the environments, and cloudwatch.ts copied. */
const work = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "cwlogger-matrix-")));
process.on("exit", () => fs.rmSync(work, { recursive: true, force: true }));
/** The npm that runs this, on a Node.js of choice, or the one on the PATH. */
const npm = (node) => (process.env.npm_execpath ? [node, process.env.npm_execpath] : ["npm"]);

const places = environmentsByName();
const known = [...Object.keys(VERSIONS), ...Object.keys(places)];
const { values, positionals } = parseArgs({ allowPositionals: true, options: { others: { type: "boolean" } } });
const unknown = positionals.filter((name) => !known.includes(name));
if (unknown.length > 0) throw new RangeError(`Unknown: ${unknown.join(", ")}. Known are ${known.join(", ")}`);
const running = `node@${process.versions.node.split(".")[0]}`;
const wanted = positionals.length > 0 ? positionals : known;
const names = values.others ? wanted.filter((name) => name !== running) : wanted;

if (names.some((name) => VERSIONS[name] || name === "strip")) await installRuntimes();
await mustRun([process.execPath, "build.mjs"], root);
if (names.some((name) => !name.startsWith("node@"))) await installEnvironments();
const { LocalCloudWatchLogs } = await import(pathToFileURL(join(root, "dist/testing.mjs")));
const service = await LocalCloudWatchLogs.start();

/** What runs or ran to prepare environments, by its command: some share it. */
const prepared = new Map();
const table = ["| where | what | version | seconds | result |", "|---|---|---|---|---|"];
for (const name of names) {
  for (const row of VERSIONS[name] ? await runsOf(name) : places[name]) {
    const startedAt = performance.now();
    const { trouble, output, result = "pass" } = await (row.counts ? count(row) : look(name, row));
    if (trouble) {
      process.exitCode = 1;
      console.log(`${output}\n^ ${name}, ${row.what}: ${trouble}`);
    }
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    table.push(
      `| ${[name, row.what, row.version ?? versionOf(row.of), seconds, trouble ? "FAIL" : result].join(" | ")} |`,
    );
    console.log(table.at(-1));
  }
}
await service.close();
console.log(`\n${table.join("\n")}`);

// ── Runtimes ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Each Node.js by an alias, for they are versions of one package. */
async function installRuntimes() {
  const platform = process.platform === "win32" ? "win" : process.platform;
  const dependencies = Object.fromEntries(
    Object.entries(VERSIONS).map(([name, version]) => [
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
    { what: "package", version, command: [...command, "main.mjs"] },
    { what: "copied file", version, command: [...command, "copied.mjs"] },
  ];
}

/** Runs what counts its own tests. */
async function count({ command, env }) {
  const { code, output } = await run(command, root, { ...SILENT, ...env });
  const counted = (summary, lines) => Number(summary.exec(output)?.[1] ?? output.match(lines)?.length ?? 0);
  const passed = counted(/^(?:#|ℹ) pass (\d+)/m, /^ok /gm);
  const failed = counted(/^(?:#|ℹ) fail (\d+)/m, /^not ok /gm);
  const isGood = code === 0 && passed > 0 && failed === 0;
  return { trouble: isGood ? "" : `ended with ${code}, ${failed} failed`, output, result: `${passed} passed` };
}

// ── Environments ────────────────────────────────────────────────────────────────────────────────────────────────────

/** What npm has installed stays until the lockfile changes. The package and the copied file are as new as the build. */
async function installEnvironments() {
  const modules = join(environments, "node_modules");
  const isQuick = names.every((name) => VERSIONS[name] || QUICK.includes(name));
  const [asked, installed] = ["package-lock.json", "node_modules/.package-lock.json"].map(
    (file) => fs.statSync(join(environments, file), { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  if (installed < asked || !fs.existsSync(join(modules, isQuick ? "jest" : "vitest"))) {
    await mustRun([...npm(process.execPath), "ci", ...(isQuick ? ["--omit=dev"] : []), ...NPM_FLAGS], environments);
  }
  const copy = (from, to) =>
    fs.cpSync(from, to, { recursive: true, filter: (path) => basename(path) !== "node_modules" });
  const link = (from, to) => {
    fs.rmSync(to, { recursive: true, force: true });
    fs.mkdirSync(dirname(to), { recursive: true });
    fs.symlinkSync(from, to, "junction");
  };
  fs.rmSync(join(modules, "cwlogger"), { recursive: true, force: true });
  for (const part of ["package.json", "dist"]) copy(join(root, part), join(modules, "cwlogger", part));
  link(join(root, "node_modules/@aws-sdk"), join(modules, "@aws-sdk"));
  copy(environments, work);
  link(modules, join(work, "node_modules"));
  copy(join(root, "cloudwatch.ts"), join(work, "cloudwatch.ts"));
  for (const types of TYPES) {
    link(join(modules, types), join(work, types, "node_modules/@types/node"));
    for (const type of ["module", "commonjs"]) {
      const project = join(work, types, type);
      copy(join(root, "cloudwatch.ts"), join(project, "cloudwatch.ts"));
      fs.writeFileSync(join(project, "index.ts"), TYPED);
      fs.writeFileSync(join(project, "package.json"), JSON.stringify({ type }));
    }
  }
}

/** Rows by name: what is run in `work` to `prepare`, and the `command` that sends events, if there is one. */
function environmentsByName() {
  const node = (...args) => [process.execPath, "--disable-warning=ExperimentalWarning", ...args];
  const own = (file) => join(root, "node_modules", file);
  const tool = (file, ...args) => node(join(environments, "node_modules", file), ...args);
  const place = (what, of, command, more = {}) => ({ what, of, command, ...more });
  const bundle = (what, of, prepare, file, more = {}) => place(what, of, node(file), { prepare: [prepare], ...more });
  const fake = { FAKE_TIMERS: "1" };

  const jest = (what, more = {}, ...args) => {
    const says = /^(PASS | {2}✓ |Test Suites: |Tests: |Snapshots: |Time: |Ran all )/;
    const command = tool("jest/bin/jest.js", "--silent", "--cacheDirectory=cache", "jest.test.js", ...args);
    return place(what, "jest", command, { says, ...more });
  };
  const vite = (...args) => tool("vite/bin/vite.js", ...args);
  const vitest = (what, env, ...args) =>
    place(what, "vitest", tool("vitest/vitest.mjs", "run", "--silent=true", "vitest.test.mjs", ...args), { env });
  const esbuild = (what, entry, file, args, more) => {
    const flags = ["--bundle", "--platform=node", "--log-level=warning", `--outfile=${file}`, ...args];
    return bundle(what, "esbuild", [own(".bin/esbuild"), entry, ...flags], file, more);
  };
  const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

  const compilers = {
    typescript54: tool("typescript54/bin/tsc"),
    typescript5: node(own("typescript5/bin/tsc")),
    typescript: node(own("typescript/bin/tsc")),
  };
  const strict = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--skipLibCheck"];
  const tsc = (compiler, lib, types, [type, ...module], ...args) => {
    const languages = ["--lib", lib, "--target", lib === "ES2023" ? "ES2022" : lib];
    return [...compilers[compiler], ...strict, ...languages, ...module, ...args, join(types, type, "index.ts")];
  };
  const kinds = [
    ["commonjs", "--module", "NodeNext"],
    ["module", "--module", "NodeNext"],
    ["module", "--module", "ESNext", "--moduleResolution", "Bundler"],
    // TypeScript 5 looks modules up as Node 10 did here.
    ["commonjs", "--module", "CommonJS", "--esModuleInterop"],
  ];
  const checked = (of, lib) => ({
    what: `${lib}; 4 module kinds, @types/node 20 and 26`,
    of,
    prepare: TYPES.flatMap((types) => kinds.map((kind) => tsc(of, lib, types, kind, "--noEmit"))),
  });
  const oldest = TYPES.map((types) => tsc("typescript54", "ES2020", types, kinds[0], "--outDir", join("old", types)));
  const compiled = { prepare: oldest, env: { LOGGER: "./old/types-node20/cloudwatch.js" } };
  const asModule = { LOGGER: `./${TYPES[0]}/module/cloudwatch.ts` };
  const loader = pathToFileURL(own("tsx/dist/loader.mjs")).href;
  const tsx = (what, env) => place(what, "tsx", node("--import", loader, "copied.mjs"), { env });
  const options = { target: "ES2020", module: "CommonJS", strict: true, esModuleInterop: true };
  const tsJest = JSON.stringify({ "\\.ts$": ["ts-jest", { tsconfig: options }] });
  const tsNode = { LOGGER: "./cloudwatch", TS_NODE_COMPILER_OPTIONS: JSON.stringify(options) };

  return {
    jest: [
      jest("defaults"),
      jest("jsdom", {}, "--env=jsdom"),
      jest("fake timers", { env: fake }),
      jest("copied file, NodeNext as CommonJS", compiled),
    ],
    "ts-jest": [jest("copied file", { of: "ts-jest", env: { LOGGER: "./cloudwatch" } }, `--transform=${tsJest}`)],
    vitest: [vitest("defaults", {}), vitest("jsdom", {}, "--environment=jsdom"), vitest("fake timers", fake)],
    mocha: [place("defaults", "mocha", tool("mocha/bin/mocha.js", "--timeout=5000", "mocha.test.cjs"))],
    "node:test": ["defaults", "mock timers"].map((what, index) =>
      place(what, undefined, node("--test", "node.test.mjs"), { env: index === 0 ? {} : fake }),
    ),
    webpack: [bundle("target node", "webpack", node("webpack.cjs"), "webpack/main.cjs")],
    esbuild: [
      esbuild("CommonJS, minified", "main.mjs", "cjs.cjs", ["--minify"]),
      esbuild("ES modules, main fields", "main.mjs", "fields.mjs", ["--format=esm", "--main-fields=module,main"]),
      esbuild("ES modules, banner", "main.mjs", "banner.mjs", ["--format=esm", `--banner:js=${banner}`]),
      esbuild("ES modules: tells how", "unloadable.mjs", "plain.mjs", ["--format=esm"], { isMute: true }),
    ],
    rollup: [bundle("ES modules", "rollup", tool("rollup/dist/bin/rollup", "-c", "--silent"), "rollup/main.mjs")],
    vite: ["production", "bundled"].map((mode) =>
      bundle(`SSR, ${mode}`, "vite", vite("build", "--logLevel=warn", "--mode", mode), `vite/${mode}/main.mjs`),
    ),
    ncc: [
      bundle(
        "ES modules",
        "@vercel/ncc",
        tool("@vercel/ncc/dist/ncc/cli.js", "build", "main.mjs", "-o", "ncc", "-q"),
        "ncc/index.mjs",
      ),
    ],
    lib: [place("ES2020, @types/node 20 and 26", "typescript54", node("copied.cjs"), compiled)],
    typescript: Object.keys(compilers).flatMap((of) =>
      ["ES2020", "ES2021", "ES2022", "ES2023"].map((lib) => checked(of, lib)),
    ),
    eslint: [
      { what: "recommended", of: "typescript-eslint", prepare: [tool("eslint/bin/eslint.js", "cloudwatch.ts")] },
    ],
    strip: ["node@22", "node@24", "node@26"].map((name) => {
      const [, ...args] = node("copied.mjs");
      return { what: name, version: VERSIONS[name], command: [programOf(name), ...args], env: asModule };
    }),
    tsx: [tsx("CommonJS"), tsx("ES modules", asModule)],
    "ts-node": [place("copied file", "ts-node", node("--require", "ts-node/register", "copied.cjs"), { env: tsNode })],
  };
}

/** Runs an environment; looks at what has arrived, and whether it ended promptly and silently. */
async function look(name, { what, prepare = [], command, env, says = /^$/, isMute = false }) {
  const strange = ({ stderr }) =>
    stderr
      .split("\n")
      .filter((line) => line !== "" && !says.test(line))
      .join("\n");
  // As many at a time as there are processors: there are compilers by the dozen.
  const steps = prepare.values();
  const turns = Array.from({ length: availableParallelism() }, async () => {
    for (const step of steps) {
      if (!prepared.has(step)) prepared.set(step, run(step, work));
      const result = await prepared.get(step);
      if (result.code !== 0 || strange(result))
        return { ...result, trouble: `${step.join(" ")} ended with ${result.code}` };
    }
  });
  const failed = (await Promise.all(turns)).find(Boolean);
  if (failed || !command) return failed ?? { trouble: "" };

  const GROUP = `${name}/${what}`.replaceAll(/[^\w/]+/g, "_");
  const startedAt = performance.now();
  const ended = await run(command, work, { ...SILENT, ENDPOINT: service.endpoint, GROUP, ...env });
  const ms = Math.round(performance.now() - startedAt);
  const events = service.events(GROUP).map(({ message }) => {
    const { level, message: text, orderId, requestId } = message.startsWith("{") ? JSON.parse(message) : { message };
    return [level, text, orderId, requestId].filter(Boolean).join(" ");
  });
  const trouble = [
    ended.code !== 0 && `ended with ${ended.code}`,
    ms > PROMPT_MS && `took ${ms} ms`,
    strange(ended) && `wrote ${strange(ended)}`,
    !isDeepStrictEqual(events, isMute ? [] : EVENTS) && `what arrived is ${JSON.stringify(events)}`,
    !isDeepStrictEqual(service.logStreams(GROUP), isMute ? [] : [`of ${hostname()}`]) && "another log stream",
    ...service.violations.splice(0),
  ];
  return { trouble: trouble.filter(Boolean).join("; "), output: ended.output };
}

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Of a package; of Node.js, where none is told. */
function versionOf(name) {
  if (name === undefined) return process.versions.node;
  const folder = [environments, root].map((where) => join(where, "node_modules", name)).find(fs.existsSync);
  return JSON.parse(fs.readFileSync(join(folder, "package.json"), "utf8")).version;
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
