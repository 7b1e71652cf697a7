/**
 * What users get: the tarball, installed and used from ES modules, CommonJS and TypeScript; `cloudwatch.ts` copied alone
 * into strict projects; the stand-alone bundle in an empty folder. Builds dist/ first.
 *
 * The projects are outside of the repository. The tarball is installed by npm; the AWS SDK and @types/node are links to
 * those of the repository, so that these tests need no network, take seconds, and use the versions of the lockfile.
 */

import assert from "node:assert/strict";
import { type ChildProcess, execFile, fork } from "node:child_process";
import { readdirSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import * as source from "../cloudwatch.ts";
import { LocalCloudWatchLogs } from "./local-cloudwatch.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const COMPILERS = ["typescript5", "typescript"];
const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));

/** A folder of its own, with nothing around it. */
let temporary = "";
let tarball = "";
/** A project with the tarball installed; those that use it are folders in it. */
let installed = "";

before(async () => {
  temporary = await realpath(await mkdtemp(join(tmpdir(), "cwlogger-")));
  await node(ROOT, "build.mjs");
  const [pack] = JSON.parse(await npm(ROOT, "pack", "--ignore-scripts", "--json", "--pack-destination", temporary));
  tarball = join(temporary, pack.filename);
  installed = await project("installed", { "package.json": `{ "private": true }` });
  await npm(installed, "install", "--offline", "--legacy-peer-deps", tarball);
  await link(installed, "@aws-sdk", "@types");
});

after(async () => {
  typescript5?.disconnect();
  await rm(temporary, { recursive: true, force: true });
});

describe("the tarball", () => {
  it("holds dist, cloudwatch.ts and the documents, and no more", async () => {
    const [pack] = JSON.parse(await npm(ROOT, "pack", "--ignore-scripts", "--json", "--dry-run"));
    const names = pack.files.map(({ path }: { path: string }) => path);
    const built = ["cloudwatch", "testing"].flatMap((name) =>
      ["cjs", "d.cts", "d.mts", "mjs"].map((extension) => `dist/${name}.${extension}`),
    );
    const documents = ["CHANGELOG.md", "LICENSE", "README.md", "cloudwatch.ts", "package.json"];
    const others = ["dist/cloudwatch.standalone.mjs", "dist/cwlogger.mjs"];
    const pages = readdirSync(join(ROOT, "docs")).map((page) => `docs/${page}`);
    assert.deepEqual(names.sort(), [...documents, ...built, ...others, ...pages].sort());
  });

  it("depends on nothing but the peer", () => {
    assert.equal(manifest.dependencies, undefined);
    assert.deepEqual(manifest.peerDependencies, { "@aws-sdk/client-cloudwatch-logs": ">=3.714.0 <4" });
    assert.equal(manifest.sideEffects, false);
  });

  it("satisfies publint", async () => {
    await bin("publint", "--strict", tarball);
  });

  it("satisfies Are the types wrong?", async () => {
    await bin("@arethetypeswrong/cli", tarball);
  });

  it("exports from both builds what cloudwatch.ts exports", async () => {
    const names = Object.keys(source).sort();
    const list = `Object.keys(module).filter((name) => name !== "__esModule" && name !== "module.exports").sort()`;
    const print = `console.log(JSON.stringify(${list}))`;
    const esm = await node(installed, "--input-type=module", "-e", `import * as module from "cwlogger"; ${print}`);
    const cjs = await node(installed, "-e", `{ const module = require("cwlogger"); ${print} }`);
    assert.deepEqual(JSON.parse(esm), names);
    assert.deepEqual(JSON.parse(cjs), names);
    assert.ok(names.includes("CloudwatchLogger"));
  });
});

describe("importing", () => {
  for (const [name, load] of [
    ["the ES module", `import("cwlogger")`],
    ["the CommonJS module", `require("cwlogger")`],
    ["the stand-alone bundle", `import("./node_modules/cwlogger/dist/cloudwatch.standalone.mjs")`],
  ] as const) {
    it(`${name} has no side effects`, async () => {
      const output = await node(
        installed,
        "-e",
        `
        const resources = [];
        const hook = { init: (id, type) => /^(Timeout|Immediate|TCP|FSEVENT)/.test(type) && resources.push(type) };
        require("node:async_hooks").createHook(hook).enable();
        // SDK packages are CommonJS to Node, whichever way they are loaded: require.cache knows them all.
        const look = () => ({
          listeners: Object.fromEntries(process.eventNames().map((name) => [String(name), process.listenerCount(name)])),
          resources: [...resources],
          globals: Reflect.ownKeys(globalThis).map(String).sort(),
          sdk: Object.keys(require.cache).filter((path) => path.includes("@aws-sdk")).length,
        });
        (async () => {
          const { LocalCloudWatchLogs } = await import("cwlogger/testing");
          const before = look();
          const { CloudwatchLogger } = await ${load};
          const imported = look();
          const service = await LocalCloudWatchLogs.start();
          const logger = new CloudwatchLogger("my-app", {
            endpoint: service.endpoint, region: "us-east-1", credentials: { accessKeyId: "k", secretAccessKey: "s" },
          });
          logger.info("order placed");
          const logged = look();
          await logger.flush();
          const flushed = look();
          await logger.close();
          await service.close();
          console.log(JSON.stringify({ before, imported, logged, flushed, closed: look() }));
        })();`,
      );
      const { before, imported, logged, flushed, closed } = JSON.parse(output);
      assert.deepEqual(imported, before);
      // The looks above can see what they look for.
      assert.equal(logged.listeners.beforeExit, 1);
      assert.ok(logged.resources.includes("Timeout"));
      assert.equal(logged.sdk, 0);
      if (name !== "the stand-alone bundle") assert.notEqual(flushed.sdk, 0);
      assert.equal(closed.listeners.beforeExit, undefined);
      assert.equal(closed.listeners.exit, before.listeners.exit);
    });
  }
});

describe("the installed package", { concurrency: 2 }, () => {
  it("runs in an ES module", async () => {
    const imports = `import { CloudwatchLogger } from "cwlogger"; import { LocalCloudWatchLogs } from "cwlogger/testing";`;
    const folder = await project("installed/esm", {
      "package.json": `{ "type": "module" }`,
      "index.js": program({ imports, ownService: true }),
    });
    assert.equal(await node(folder, "index.js"), DELIVERED);
  });

  it("runs in a CommonJS module", async () => {
    const imports = `const { CloudwatchLogger } = require("cwlogger"), { LocalCloudWatchLogs } = require("cwlogger/testing");`;
    const folder = await project("installed/cjs", {
      "package.json": `{ "type": "commonjs" }`,
      "index.js": program({ imports, ownService: true }),
    });
    assert.equal(await node(folder, "index.js"), DELIVERED);
  });

  for (const [name, load] of [
    ["ES module", `import("cwlogger")`],
    ["CommonJS module", `Promise.resolve(require("cwlogger"))`],
  ] as const) {
    it(`tells at once, as ${name}, that the SDK is missing`, async () => {
      const folder = await project(`bare/${name.replace(" ", "")}`, {
        "index.cjs": `${load}.then(async ({ CloudwatchLogger }) => {
          const told = [];
          const onError = ({ code, message }) => told.push(code + " " + message);
          const logger = new CloudwatchLogger("my-app", { region: "us-east-1", onError, onLoss() {}, closeTimeoutMs: 60_000 });
          logger.info("order placed");
          const { droppedReasons } = await logger.close();
          console.log(JSON.stringify({ told, unsent: droppedReasons.unsent }));
        })`,
      });
      await cp(join(installed, "node_modules/cwlogger"), join(folder, "node_modules/cwlogger"), { recursive: true });
      const startedAt = performance.now();
      const { told, unsent } = JSON.parse(await node(folder, "index.cjs"));
      assert.ok(performance.now() - startedAt < 30_000, "it did not wait for closeTimeoutMs");
      assert.equal(told.length, 1);
      assert.match(told[0], /^ERR_SDK_MISSING .*npm install @aws-sdk\/client-cloudwatch-logs/);
      assert.equal(unsent, 1);
    });
  }

  it("has the command", async () => {
    const command = join(installed, "node_modules/.bin/cwlogger");
    assert.equal(await node(installed, command, "--version"), `${manifest.version}\n`);
  });

  for (const compiler of COMPILERS) {
    for (const [name, type, options] of [
      ["NodeNext, ES modules", "module", { module: "NodeNext", verbatimModuleSyntax: true }],
      ["NodeNext, CommonJS", "commonjs", { module: "NodeNext" }],
      ["Bundler, ES modules", "module", { module: "ESNext", moduleResolution: "Bundler", verbatimModuleSyntax: true }],
      // TypeScript 5 looks modules up as Node 10 did here: by "types" and "typesVersions".
      ["CommonJS", "commonjs", { module: "CommonJS", esModuleInterop: true }],
    ] as const) {
      it(`compiles and runs with ${compiler}: ${name}`, async () => {
        const imports = `${typedImports("cwlogger")} import { LocalCloudWatchLogs, type LocalEvent } from "cwlogger/testing";`;
        const folder = await project(`installed/${compiler}-${name.replaceAll(/\W/g, "")}`, {
          "package.json": JSON.stringify({ type }),
          "index.ts": program({ imports, ownService: true, typed: true }),
          "tsconfig.json": tsconfig({ ...options, exactOptionalPropertyTypes: true }),
        });
        await compile(compiler, folder);
        assert.equal(await node(folder, "out/index.js"), DELIVERED);
      });
    }
  }
});

describe("the copied file", { concurrency: 2 }, () => {
  const STRICT = {
    erasableSyntaxOnly: true,
    exactOptionalPropertyTypes: true,
    isolatedModules: true,
    noFallthroughCasesInSwitch: true,
    noImplicitOverride: true,
    noImplicitReturns: true,
    noPropertyAccessFromIndexSignature: true,
    noUncheckedIndexedAccess: true,
    noUnusedLocals: true,
    noUnusedParameters: true,
  };

  for (const compiler of COMPILERS) {
    for (const [name, type, options] of [
      ["NodeNext, ES modules", "module", { module: "NodeNext", verbatimModuleSyntax: true }],
      ["Bundler, ES modules", "module", { module: "ESNext", moduleResolution: "Bundler", verbatimModuleSyntax: true }],
      // verbatimModuleSyntax allows no import and export statements in CommonJS.
      ["NodeNext, CommonJS", "commonjs", { module: "NodeNext" }],
      ["CommonJS", "commonjs", { module: "CommonJS", esModuleInterop: true }],
    ] as const) {
      it(`compiles and runs with ${compiler}: ${name}`, async () => {
        const folder = await project(`copied/${compiler}-${name.replaceAll(/\W/g, "")}`, {
          "package.json": JSON.stringify({ type }),
          "index.ts": program({ imports: typedImports("./cloudwatch.js"), typed: true }),
          "tsconfig.json": tsconfig({ ...STRICT, ...options }),
        });
        await cp(join(ROOT, "cloudwatch.ts"), join(folder, "cloudwatch.ts"));
        await link(folder, "@aws-sdk", "@types");
        await compile(compiler, folder);
        await runAgainstService(folder, "out/index.js");
      });
    }
  }

  if ("typescript" in process.features && process.features.typescript) {
    it("runs as it is, by Node's own TypeScript support", async () => {
      const folder = await project("copied/erased", {
        "package.json": `{ "type": "module" }`,
        "index.ts": program({ imports: typedImports("./cloudwatch.ts"), typed: true }),
      });
      await cp(join(ROOT, "cloudwatch.ts"), join(folder, "cloudwatch.ts"));
      await link(folder, "@aws-sdk");
      await runAgainstService(folder, "index.ts");
    });
  }
});

describe("the stand-alone bundle", () => {
  it("runs in an empty folder", async () => {
    const folder = await project("empty", {
      "index.mjs": program({ imports: `import { CloudwatchLogger } from "./cloudwatch.standalone.mjs";` }),
    });
    await cp(join(ROOT, "dist/cloudwatch.standalone.mjs"), join(folder, "cloudwatch.standalone.mjs"));
    await runAgainstService(folder, "index.mjs");
  });
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a program prints at its end: two short events, and two million bytes in two parts. */
const DELIVERED = "4 delivered\n";

function typedImports(module: string): string {
  const names = "CloudwatchLogger, CloudwatchLoggerError, LEVELS, type CloudwatchLoggerOptions, type Stats";
  const byDefault = "default" in source ? "createStream, " : "";
  return `import ${byDefault}{ ${names} } from "${module}";`;
}

/** The text of a program that logs, to a service of its own or to that of `ENDPOINT`. */
function program({ imports = "", typed = false, ownService = false }): string {
  const types = (text: string) => (typed ? text : "");
  const readBack = `
    const events${types(": LocalEvent[]")} = service.events("my-app");
    if (events.length !== stats.logged || service.violations.length > 0) throw new Error("not delivered as logged");
    await service.close();`;
  return `
  ${imports}
  async function main()${types(": Promise<void>")} {
    ${ownService ? "const service = await LocalCloudWatchLogs.start();" : ""}
    const options${types(": CloudwatchLoggerOptions")} = {
      endpoint: ${ownService ? "service.endpoint" : `process.env["ENDPOINT"]`},
      region: "us-east-1",
      credentials: { accessKeyId: "key", secretAccessKey: "secret" },
      overflow: "split",
      ${types("onError: (error: CloudwatchLoggerError) => console.error(error.code, LEVELS.error),")}
    };
    ${types(`${"default" in source ? "createStream satisfies (...args: never) => unknown;" : ""}`)}
    const logger = new CloudwatchLogger("my-app", options);
    logger.info("order placed", { orderId: 17 });
    logger.error(new Error("card declined"));
    logger.info("é".repeat(1_000_000));
    const stats${types(": Stats")} = await logger.close();
    ${ownService ? readBack : ""}
    console.log(stats.delivered, "delivered");
  }
  main();
  `;
}

function tsconfig(compilerOptions: object): string {
  const base = { target: "ES2022", lib: ["ES2023"], strict: true, skipLibCheck: false, rootDir: ".", outDir: "out" };
  return JSON.stringify({ compilerOptions: { ...base, ...compilerOptions }, include: ["*.ts"] });
}

async function project(name: string, files: Record<string, string>): Promise<string> {
  const folder = join(temporary, name);
  await mkdir(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text);
  return folder;
}

async function link(folder: string, ...names: string[]): Promise<void> {
  await mkdir(join(folder, "node_modules"), { recursive: true });
  for (const name of names)
    await symlink(join(ROOT, "node_modules", name), join(folder, "node_modules", name), "junction");
}

/** It takes seconds, unless it keeps what it has parsed. */
let typescript5: ChildProcess | undefined;

async function compile(compiler: string, folder: string): Promise<void> {
  if (compiler === "typescript5") {
    typescript5 ??= fork(join(ROOT, "testing/typescript5.mjs"), { execArgv: [] }).setMaxListeners(0);
    const child = typescript5;
    const errors = await new Promise((resolve, reject) => {
      child.on("message", (told: { folder: string; errors: string }) => told.folder === folder && resolve(told.errors));
      child.once("error", reject).once("exit", (code) => reject(new Error(`TypeScript 5 ended with ${code}`)));
      child.send(folder);
    });
    assert.equal(errors, "");
  } else await node(folder, join(ROOT, "node_modules", compiler, "bin/tsc"), "-p", ".");
}

async function runAgainstService(folder: string, file: string): Promise<void> {
  const service = await LocalCloudWatchLogs.start();
  try {
    assert.equal(await execute(process.execPath, [file], folder, { ENDPOINT: service.endpoint }), DELIVERED);
    assert.deepEqual(service.violations, []);
    const messages = service.events("my-app").map(({ message }) => JSON.parse(message).message);
    assert.deepEqual(messages.slice(0, 2), ["order placed", "card declined"]);
    assert.equal(messages.slice(2).join(""), "é".repeat(1_000_000));
  } finally {
    await service.close();
  }
}

function node(folder: string, ...args: string[]): Promise<string> {
  return execute(process.execPath, args, folder);
}

/** The npm that runs these tests, or the one on the PATH. */
function npm(folder: string, ...args: string[]): Promise<string> {
  const { npm_execpath: script } = process.env;
  return script ? node(folder, script, ...args) : execute("npm", args, folder);
}

/** The program of an installed package. */
async function bin(name: string, ...args: string[]): Promise<string> {
  const folder = join(ROOT, "node_modules", name);
  const { bin } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  return node(ROOT, join(folder, typeof bin === "string" ? bin : String(Object.values(bin)[0])), ...args);
}

/** What the program writes to its standard output; rejects where it ends with anything but 0. */
function execute(command: string, args: string[], cwd: string, env: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: { ...process.env, ...env }, timeout: 120_000 };
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error) reject(new Error(`${[command, ...args].join(" ")}\n${stdout}${stderr}`));
      else resolve(stdout);
    });
  });
}
