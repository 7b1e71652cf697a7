/**
 * README.md and docs/ are true: their programs run against the local service, their policies are proven, their tables
 * are compared with the code, and their links lead somewhere. How they say it is nobody's business here.
 *
 * A comment `// {"level":…}` in a program is an event that it logs; `…` stands for more. The libraries come from
 * examples/node_modules.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, promisify } from "node:util";
import { runInNewContext } from "node:vm";
import { CloudWatchLogsClient, FilterLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { transformSync } from "esbuild";
import { CloudwatchLogger, type CloudwatchLoggerError, type CloudwatchLoggerOptions, LIMITS } from "../cloudwatch.ts";
import "./libraries.ts";
import { LocalCloudWatchLogs } from "./local-cloudwatch.ts";
import { Program } from "./support.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const EXAMPLES = join(ROOT, "examples");
const GROUP = "my-app";
const CREDENTIALS = { accessKeyId: "AKIDTEST", secretAccessKey: "correct-horse" };

// biome-ignore lint/suspicious/noExplicitAny: events are looked into without ceremony
type Json = any;

type Block = Record<"page" | "language" | "text", string> & { line: number };

const pages = ["README.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)];
const blocks = pages.flatMap(blocksOf);
const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
const programs = blocks.filter(({ language }) => /^[tj]s$/.test(language));

/** Holds the built package, and a project that has it and the hosts installed. */
let temporary = "";
let project = "";

before(async () => {
  temporary = await realpath(await mkdtemp(join(tmpdir(), "cwlogger-readme-")));
  project = join(temporary, "project");
  await buildPackage();
  await makeProject();
});

after(() => rm(temporary, { recursive: true, force: true }));

// ── Programs ────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("programs of README.md and docs/", { concurrency: 3 }, () => {
  it("compile, strictly", async () => {
    const files = programs.filter(({ language }) => language === "ts").map((block) => `${nameOf(block)}.ts`);
    const config = {
      extends: join(ROOT, "tsconfig.json"),
      compilerOptions: { lib: ["ES2023", "ESNext.Disposable"] },
      include: [],
      files,
    };
    await writeFile(join(project, "tsconfig.json"), JSON.stringify(config));
    await command(process.execPath, join(ROOT, "node_modules/typescript/bin/tsc"), "-p", project);
  });

  for (const block of programs) {
    it(`${block.page}, line ${block.line}`, { timeout: 80_000 }, async () => {
      await using service = await LocalCloudWatchLogs.start();
      const { stdout, stderr } = await run(block, service);
      const isHeard = /console\.error|new CloudwatchLogger\(null|LOG_GROUP/.test(block.text);
      if (!isHeard) assert.equal(stderr, "");
      const events = service.events(GROUP).map(({ message }) => message);
      const shown = [...block.text.matchAll(/\/\/ (\{".*\})$/gm)].map(([, text = ""]) => text);
      let from = 0;
      for (const text of shown) {
        const found = events.findIndex((event, index) => index >= from && isShown(event, text));
        assert.ok(found >= 0, `no event ${text} behind the first ${from} of\n${events.join("\n")}`);
        from = found + 1;
      }
      const [printed] = /(?<=\/\/ prints: .{12}).*$/m.exec(block.text) ?? [];
      if (printed !== undefined)
        assert.match(`${stdout}${stderr}`, new RegExp(`^[\\d:.]{12}${escaped(printed)}$`, "m"));
      if (block.text.includes("node:test")) assert.match(stdout, /^(?:#|ℹ) pass 1$/m);
      else assert.match(`${stdout}${stderr}${events}`, /\w/);
      assert.deepEqual(service.violations, []);
    });
  }

  it("the events under the first ones are those that they log", async () => {
    const first = programs.find(({ text }) => text.includes("slow query"));
    const events = blocks.find(({ language }) => language === "jsonl");
    assert.ok(first && events);
    await using service = await LocalCloudWatchLogs.start();
    await run(first, service);
    const stored = service.events(GROUP).map(({ message }) => message.replace(/(\\n {4}at ).*?"/, '$1…"'));
    assert.equal(`${stored.join("\n")}\n`, events.text);
    assert.match(service.logGroups()[0]?.logStreams.join() ?? "", /^\d{23}$/);
  });
});

describe("commands of README.md and docs/", () => {
  const text = [...pages, "CONTRIBUTING.md"].map(read).join("\n");
  const manifest = JSON.parse(read("package.json"));

  it("run scripts that exist, copy files that the package has, and install the AWS SDK that it asks for", () => {
    const namesIn = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, name = ""]) => name);
    const [scripts, files] = [namesIn(/\bnpm run ([\w:]+)/g), namesIn(/^cp node_modules\/cwlogger\/([^/ ]+)/gm)];
    assert.ok(scripts.length > 3 && files.length >= 2);
    for (const name of scripts) assert.ok(Object.hasOwn(manifest.scripts, name), name);
    for (const name of files) assert.ok(manifest.files.includes(name), name);
    const [, from = "?"] =
      /^>=(\d+\.\d+)\.\d+ </.exec(manifest.peerDependencies["@aws-sdk/client-cloudwatch-logs"]) ?? [];
    assert.ok(read("README.md").includes(`AWS SDK from ${from} on`));
  });

  it("give `npx cwlogger` the options that it has", async () => {
    const bin = join(temporary, "cwlogger", Object.values<string>(manifest.bin)[0] ?? "");
    const { stdout } = await promisify(execFile)(process.execPath, [bin, "--help"]);
    const options = new Set(text.match(/(?<=npx cwlogger\b.*)--\w+/g));
    for (const [cell = ""] of table("docs/api.md", "npx cwlogger")) options.add(code(cell).split(" ")[0] ?? "");
    assert.ok(options.size >= 7);
    for (const name of options) assert.ok(stdout.includes(name), `${name} is not in\n${stdout}`);
  });
});

// ── Policies ────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("permissions in docs/operations.md", { concurrency: 8 }, () => {
  const policy = JSON.parse(blocks.find(({ language }) => language === "json")?.text ?? "");
  const [{ Effect, Action, Resource }] = policy.Statement;
  const rows = table("docs/operations.md", "Permissions");

  it("the policy has what any row needs, for one log group", () => {
    const needed = new Set(rows.flatMap(([, , actions = ""]) => actionsOf(actions)));
    assert.deepEqual([...needed].sort(), [...Action].sort());
    const arn = `arn:aws:logs:eu-central-1:123456789012:log-group:${GROUP}`;
    // Source: LogGroup.arn and LogGroup.logGroupArn in the SDK's types.
    assert.deepEqual([policy.Version, Effect, Resource], ["2012-10-17", "Allow", [arn, `${arn}:*`]]);
  });

  for (const [exists = "", cell = "", list = ""] of rows) {
    const actions = actionsOf(list);
    const options = JSON.parse(JSON.stringify(runInNewContext(`(${code(cell)})`))) as CloudwatchLoggerOptions;

    it(`${exists}, ${code(cell)}: enough`, async () => {
      const { service, errors, delivered } = await deliver(exists, options, actions);
      assert.deepEqual([delivered, errors], [1, []]);
      if (exists !== "nothing") return;
      const [group] = service.logGroups();
      for (const name of ["retentionInDays", "kmsKeyId"] as const) assert.equal(group?.[name], options[name]);
      assert.deepEqual(group?.tags, options.tags ?? {});
    });

    for (const action of actions) {
      it(`${exists}, ${code(cell)}: not enough without ${action}`, async () => {
        const rest = actions.filter((name) => name !== action);
        const { errors, delivered } = await deliver(exists, options, rest);
        const isAttribute = /Retention|Tag/.test(action);
        assert.equal(delivered, isAttribute ? 1 : 0);
        assert.equal(errors[0]?.code, isAttribute ? "ERR_LOG_GROUP" : "ERR_CONFIGURATION");
        assert.match(`${errors[0]?.message} ${errors[0]?.cause}`, new RegExp(action));
      });
    }
  }

  function actionsOf(list: string): string[] {
    return list.split(", ").map((name) => `logs:${name}`);
  }
});

// ── Reading events back ─────────────────────────────────────────────────────────────────────────────────────────────

describe("queries, filters and shapes of events", () => {
  let service: LocalCloudWatchLogs;

  before(async () => {
    service = await LocalCloudWatchLogs.start();
    await logSamples(service);
  });

  after(() => service.close());

  it("Logs Insights queries name fields and values that events have", () => {
    const groups = service.logGroups().map(({ logGroupName }) => service.events(logGroupName));
    const leaves = groups.flat().flatMap(({ message }) => leavesOf(parsed(message)));
    const names = new Set(leaves.map(([name]) => name));
    const values = new Set(leaves.map(([, value]) => value));
    const keywords = /^(fields|filter|stats|sort|limit|as|by|in|and|or|not|asc|desc)$|\($/;
    for (const { text, line } of blocks.filter(({ language }) => language === "insights")) {
      const aliases = new Set([...text.matchAll(/\bas (\w+)/g)].map(([, name]) => name));
      const words = text.replace(/"[^"]*"|\b\d+\w*/g, "").match(/[@A-Za-z_][\w.]*\(?/g) ?? [];
      for (const name of words.filter((word) => !keywords.test(word) && !aliases.has(word))) {
        const isKnown = names.has(name) || /^@(timestamp|message|logStream|ingestionTime)$/.test(name);
        assert.ok(isKnown, `no event has "${name}", which the query in line ${line} names`);
      }
      for (const [, value = ""] of text.matchAll(/"([^"]*)"/g)) {
        assert.ok(values.has(value) || /^[\da-f]{8}$/.test(value), `no event has "${value}", line ${line}`);
      }
    }
    assert.match(leaves.find(([name]) => name === "part.id")?.[1], /^[\da-f]{8}$/);
  });

  it("an error's fields are those of the table", () => {
    const rows = table("docs/operations.md", "Queries with Logs Insights");
    const groups = ["cwlogger", "bunyan-raw", "bunyan-text", "pino", "winston"];
    assert.equal(rows.length, groups.length);
    for (const [index, [, level = "", message = "", names = ""]] of rows.entries()) {
      const error = service.events(groups[index] ?? "").find((event) => event.message.includes("an error"));
      const fields = new Map(leavesOf(parsed(error?.message ?? "")));
      assert.deepEqual([fields.get("level"), fields.get(code(message))], [JSON.parse(code(level)), "an error"]);
      for (const [, name = ""] of names.matchAll(/`([\w.]+)`/g)) assert.match(fields.get(name), /^TypeError/, name);
    }
  });

  it("metric filters find the events they are for", async () => {
    const rows = table("docs/operations.md", "Alarms");
    const groups = [["cwlogger", "bunyan-raw"], ["pino", "bunyan-text"], ["winston"], ["sample"]];
    assert.equal(rows.length, groups.length);
    for (const [index, [, errors = ""]] of rows.entries()) {
      for (const group of groups[index] ?? []) {
        const hasWorse = group !== "winston"; // its levels end at error
        const expected = hasWorse ? /^.*an error.*\n.*the worst.*$/ : /^.*an error.*$/;
        assert.match(await filter(service, group, errors), group === "sample" ? /^.*queue.*$/ : expected);
      }
    }
    const shown = read("docs/operations.md").match(/(?<=--filter-pattern ')[^']+/g) ?? [];
    assert.ok(shown.length >= 2);
    for (const pattern of shown) assert.equal(pattern, code(rows[0]?.[1] ?? ""));
  });

  it("formats are those of the table", async () => {
    for (const [given = "", shown = ""] of table("docs/api.md", "Formats")) {
      const text = code(given);
      const isFunction = text.startsWith("(");
      const format = isFunction ? ({ level, message }: Json) => `${level}/${message}` : JSON.parse(text);
      const fields = text.includes("{requestId}") ? { requestId: "r-1" } : {};
      const [event] = await logged({ format, fields }, function placeOrder(logger) {
        logger.info("order placed", { orderId: 17 });
      });
      const time = new Date(event?.timestamp ?? 0).toISOString();
      const expected = isFunction ? "info/order placed" : code(shown).replace("2026-11-20T09:30:00.000Z", time);
      assert.equal(event?.message, expected);
    }
  });

  it("calls give the events of the table", async () => {
    const rows = table("docs/api.md", "Logging");
    assert.ok(rows.length >= 10);
    for (const [call = "", shown = ""] of rows) {
      const [event] = await logged({}, (logger) => runInNewContext(`logger.${code(call)}`, { logger }));
      assert.equal(event?.message, code(shown), call);
    }
  });

  /** What a logger with these options stores. */
  async function logged(options: CloudwatchLoggerOptions, log: (logger: CloudwatchLogger) => void) {
    await using service = await LocalCloudWatchLogs.start();
    const logger = new CloudwatchLogger(GROUP, { ...connection(service), ...options });
    log(logger);
    await logger.close();
    return service.events(GROUP);
  }
});

// ── Tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("tables of README.md and docs/", () => {
  const source = read("cloudwatch.ts");
  const options = optionsOf(source);
  const entries = section("docs/api.md", "Options").matchAll(/^- `(\w+)` \((.*?)\):/gm);
  const inApi = new Map([...entries].map(([, name = "", value = ""]) => [name, value]));
  const inReadme = new Map(table("README.md", "Options").map(([name = "", value = ""]) => [code(name), value]));

  it("options: every option of the code once, in both places", () => {
    assert.ok(options.length > 25);
    assert.deepEqual([...inReadme.keys()].sort(), [...options].sort());
    assert.deepEqual([...inApi.keys()].sort(), [...options].sort());
    for (const name of options) assert.doesNotThrow(() => new CloudwatchLogger(null, { [name]: undefined }), name);
    assert.throws(() => new CloudwatchLogger(null, { flushInterval: undefined } as object), /flushInterval/);
  });

  it("options: the defaults that the code has", () => {
    const defaults = defaultsOf(source);
    assert.ok(defaults.length > 10);
    for (const documented of [inReadme, inApi]) {
      for (const [name, value] of defaults) {
        const text = (documented.get(name) ?? "").replaceAll("`", "").replace(/(?<=\d)[,_](?=\d)/g, "");
        const shown = name === "maxEventBytes" ? text.split(",")[0] : text;
        if (!shown?.startsWith("one line")) assert.equal(shown, JSON.stringify(value), name);
      }
    }
  });

  it("limits: those of LIMITS, each once", () => {
    const shown = table("docs/operations.md", "Limits").map(([, value = "", name = ""]) => [
      code(name),
      value.replaceAll(",", ""),
    ]);
    const inCode = Object.entries(LIMITS).map(([name, value]) => [`LIMITS.${name}`, [value].flat().join(" ")]);
    assert.deepEqual(shown.sort(), inCode.sort());
  });

  it("losses: the reasons of stats()", () => {
    const { rejectedReasons, droppedReasons } = new CloudwatchLogger(null).stats();
    const rows = table("docs/delivery.md", "Loss");
    assert.deepEqual(
      rows.map(([name = "", what = "", content]) => [code(name), what.split(":")[0], content]).sort(),
      [
        ...Object.keys(rejectedReasons).map((name) => [name, "rejected by AWS", "yes"]),
        ...Object.keys(droppedReasons).map((name) => [name, "dropped", /queueFull|closed/.test(name) ? "no" : "yes"]),
      ].sort(),
    );
  });

  it("errors: all codes that the code has", () => {
    const codes = new Set(source.match(/(?<=")ERR_[A-Z_]+(?=")/g));
    assert.ok(codes.delete("ERR_OVERSIZE"));
    const trouble = section("docs/delivery.md", "Trouble");
    const shown = [...trouble.matchAll(/^\| `(ERR_\w+)`/gm)].map(([, name]) => name);
    assert.deepEqual(shown.sort(), [...codes].sort());
  });

  it("moving over: each of their options once, and only options that there are", () => {
    // Sources: the types of winston-cloudwatch 6.3.0, @serdnam/pino-cloudwatch-transport 1.0.4 and @logtape/cloudwatch-logs
    // 2.3.7; the README of @ubercode/pino-cloudwatch 1.0.1.
    const theirs = {
      "From winston-cloudwatch":
        "name cloudWatchLogs level ensureLogGroup logGroupName logStreamName awsAccessKeyId awsSecretKey awsRegion " +
        "awsOptions jsonMessage messageFormatter uploadRate errorHandler silent retentionInDays",
      "From @serdnam/pino-cloudwatch-transport":
        "logGroupName logStreamName awsRegion awsAccessKeyId awsSecretAccessKey interval",
      "From @ubercode/pino-cloudwatch":
        "logGroupName logStreamName awsConfig cloudWatchLogs createLogGroup createLogStream retentionInDays timeout " +
        "maxEventSize jsonMessage formatLog formatLogItem levelLabels onError submissionInterval batchSize maxQueueSize " +
        "maxRetries retryBackoffCap",
      "From LogTape's sink":
        "client logGroupName logStreamName region credentials batchSize flushInterval maxRetries retryDelay formatter",
    };
    for (const [heading, names] of Object.entries(theirs)) {
      const rows = table("docs/moving-over.md", heading);
      assert.deepEqual(rows.map(([name = ""]) => code(name)).sort(), names.split(" ").sort());
      for (const [, text = ""] of rows) {
        // What belongs to the other library, such as `format.json()`, has a dot, a bracket or is of pino.
        for (const [, name = ""] of text.replace(/pino's `\w+`/g, "").matchAll(/`([a-z]\w+)`/g)) {
          assert.ok([...options, "logGroupName", "silent"].includes(name), `${heading}: ${name}`);
        }
      }
    }
  });

  it("fleets: the arithmetic", () => {
    const [put, create] = [5_000, 50]; // a second; the service's quotas
    for (const row of table("docs/operations.md", "How many processes one account carries")) {
      const numbers = row.map((cell) => Number(cell.replace(/,| %| s$/g, "")));
      const [processes = 0, intervalMs = 0, perSecond, percent, seconds] = numbers;
      const wanted = (processes * 1_000) / intervalMs;
      assert.deepEqual([perSecond, percent, seconds], [wanted, (wanted / put) * 100, processes / create]);
      assert.ok(processes <= (put * 0.8 * intervalMs) / 1_000);
    }
  });
});

// ── Pages ───────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("pages", () => {
  for (const page of [...pages, "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"]) {
    it(`${page}: its links lead somewhere`, () => {
      const text = prose(read(page));
      const names = new Set([...text.matchAll(/^\[([^\]]+)\]: https:/gm)].map(([, name]) => name));
      for (const [, name] of text.replace(/`[^`]*`/g, "").matchAll(/\[([A-Z]\w+)\](?![:(])/g))
        assert.ok(names.has(name), name);
      for (const [, target = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (target.startsWith("https://")) continue;
        const [path = "", anchor] = target.split("#");
        const file = path === "" ? page : join(dirname(page), path);
        assert.ok(existsSync(join(ROOT, file)), target);
        if (anchor !== undefined) assert.ok(anchorsOf(read(file)).includes(anchor), target);
      }
    });
  }

  it("are short", () => {
    const lines = (page: string) => read(page).trimEnd().split("\n").length;
    for (const page of pages) assert.ok(lines(page) <= (page === "README.md" ? 300 : 250), page);
  });

  it("have the figures of benchmarks from bench/RESULTS.md", () => {
    const [results, text] = [read("bench/RESULTS.md"), read("README.md") + read("docs/benchmarks.md")];
    for (const [, name = "", shown = ""] of text.matchAll(/<!-- FIGURE:(bench-\w+|chart) -->(.*?)<!-- \/FIGURE/gs)) {
      for (const figure of shown.match(/\d[\d,.]*\d/g) ?? []) assert.ok(results.includes(figure), `${name}: ${figure}`);
    }
  });

  it("have each figure measured", () => {
    const text = [...pages, "CONTRIBUTING.md"].map(read).join("\n");
    assert.deepEqual(text.match(/(?<=FIGURE:)\S+(?= -->\s*not measured yet)/g) ?? [], []);
  });

  function anchorsOf(text: string): string[] {
    const headings = [...prose(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => heading.toLowerCase());
    return headings.map((heading) => heading.replace(/[^\w\- ]/g, "").replaceAll(" ", "-"));
  }
});

// ── Events and the code ──────────────────────────────────────────────────────────────────────────────────────────────

/** Whether an event is the one that a comment shows: the same, or where that ends in `…`, at least that. */
function isShown(event: string, shown: string): boolean {
  const expected = Object.entries(JSON.parse(shown.replace(",…}", "}")));
  const actual = parsed(event) ?? {};
  const isWhole = shown.endsWith(",…}") || Object.keys(actual).length === expected.length;
  return isWhole && expected.every(([name, value]) => isDeepStrictEqual(actual[name], value));
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Logs one event with these options and permissions, where so much exists. */
async function deliver(exists: string, options: CloudwatchLoggerOptions, allowedActions: string[]) {
  await using service = await LocalCloudWatchLogs.start({ allowedActions });
  if (exists === "the log group") service.createLogGroup(GROUP);
  else if (exists !== "nothing") service.createLogStream(GROUP, options.logStreamName ?? "");
  const errors: CloudwatchLoggerError[] = [];
  const onError = (error: CloudwatchLoggerError) => errors.push(error);
  const logger = new CloudwatchLogger(GROUP, { ...connection(service), ...options, onError, onLoss: () => {} });
  logger.info("order placed");
  await logger.close(2_000);
  return { service, errors, delivered: service.events(GROUP).length };
}

/** Events of every kind in the log group "sample"; what each host makes of an event, an error and a worse one. */
async function logSamples(service: LocalCloudWatchLogs): Promise<void> {
  const text = `
    import bunyan from "bunyan";
    import { CloudwatchLogger } from "cwlogger";
    import pino from "pino";
    import winston from "winston";
    const { combine, errors, json } = winston.format;
    const sample = (options) => new CloudwatchLogger("sample", { maxBatchBytes: 1_024, onLoss() {}, ...options });
    sample().info("order read", { requestId: "r-1", traceId: "4bf92f35" });
    for (const overflow of ["split", "truncate"]) sample({ overflow }).info("x".repeat(2_000));
    const full = sample({ maxQueueBytes: 2_048 });
    for (let index = 0; index < 100; index++) full.info("one too many", { index });
    const stream = (group) => new CloudwatchLogger(group).stream();
    const hosts = [
      new CloudwatchLogger("cwlogger"),
      pino(stream("pino")),
      bunyan.createLogger({ name: "x", streams: [{ type: "raw", stream: stream("bunyan-raw") }] }),
      bunyan.createLogger({ name: "x", stream: stream("bunyan-text") }),
      winston.createLogger({ format: combine(errors({ stack: true }), json()), transports: [stream("winston")] }),
    ];
    for (const host of hosts) {
      host.info("an event");
      host.error(new TypeError("an error"));
      host.fatal?.("the worst");
    }`;
  await run({ page: "samples", line: 0, language: "js", text }, service);
}

/** The events that the pattern in a cell finds, a line each. */
async function filter(service: LocalCloudWatchLogs, logGroupName: string, cell: string): Promise<string> {
  const client = new CloudWatchLogsClient(connection(service));
  const { events = [] } = await client.send(new FilterLogEventsCommand({ logGroupName, filterPattern: code(cell) }));
  client.destroy();
  return events.map(({ message = "" }) => message).join("\n");
}

/** The names of an event's fields, with dots between levels, and their values. */
function leavesOf(value: Json, prefix = ""): [string, Json][] {
  if (typeof value !== "object" || value === null) return [[prefix.slice(0, -1), value]];
  return Object.entries(value).flatMap(([name, inner]) => leavesOf(inner, `${prefix}${name}.`));
}

/** The names of CloudwatchLoggerOptions. */
function optionsOf(source: string): string[] {
  const [, members = ""] = /^export interface CloudwatchLoggerOptions \{\n(.*?)^\}/ms.exec(source) ?? [];
  return [...members.matchAll(/^ {2}(?:readonly )?(\w+)\?:/gm)].map(([, name = ""]) => name);
}

/** The values of DEFAULTS. */
function defaultsOf(source: string): [string, unknown][] {
  const [, value = ""] = /^const DEFAULTS\b[^=]*= (.*?);\n\n/ms.exec(source) ?? [];
  const script = transformSync(`(${value})`, { loader: "ts" }).code;
  return Object.entries(runInNewContext(script, { LIMITS })).filter(([, found]) => typeof found !== "function");
}

// ── Markdown ────────────────────────────────────────────────────────────────────────────────────────────────────────

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

function prose(text: string): string {
  return text.replace(/^```.*?^```$/gms, "");
}

function blocksOf(page: string): Block[] {
  return [...read(page).matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(({ 1: language = "", 2: text = "", index }) => {
    return { page, line: read(page).slice(0, index).split("\n").length, language, text };
  });
}

/** The text under a heading, up to the next of any level. */
function section(page: string, heading: string): string {
  const [, text] = read(page).split(new RegExp(`^#+ ${escaped(heading)}$`, "m"));
  assert.ok(text !== undefined, `${page} has no heading "${heading}"`);
  return text.split(/^#+ /m)[0] ?? "";
}

/** The cells of the first table under a heading, without its header. */
function table(page: string, heading: string): string[][] {
  const [text = ""] = /(?:^\|.*\n)+/m.exec(section(page, heading)) ?? [];
  const rows = text.trim().split("\n").slice(2);
  assert.ok(rows.length > 0, `${page} has no table under "${heading}"`);
  const cellsOf = (row: string) => row.slice(1, -1).split(/(?<!\\)\|/);
  return rows.map((row) => cellsOf(row).map((cell) => cell.trim().replaceAll("\\|", "|")));
}

/** What is between the first two backticks. */
function code(cell: string): string {
  return /`([^`]+)`/.exec(cell)?.[1] ?? cell;
}

// ── Projects and processes ──────────────────────────────────────────────────────────────────────────────────────────

function connection(service: LocalCloudWatchLogs) {
  return { endpoint: service.endpoint, region: "us-east-1", credentials: CREDENTIALS };
}

/** Runs a command, whose output is told where it fails. */
async function command(program: string, ...args: string[]): Promise<void> {
  const tell = ({ stdout, stderr }: Json) => assert.fail(`${program} ${args.join(" ")}\n${stdout}${stderr}`);
  await promisify(execFile)(program, args, { cwd: temporary }).catch(tell);
}

/** Builds the package as `npm run build` does, but in a folder of its own: other tests may rebuild dist/ meanwhile. */
async function buildPackage(): Promise<void> {
  const folder = join(temporary, "cwlogger");
  const isLeftOut = (path: string) => /\/(node_modules|dist|\.git)$/.test(path);
  await cp(ROOT, folder, { recursive: true, filter: (path) => !isLeftOut(path) });
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  await command(process.execPath, join(folder, "build.mjs"));
}

/** The project of somebody who follows the pages: the package, the hosts, and the copied file. */
async function makeProject(): Promise<void> {
  const modules = join(project, "node_modules");
  await mkdir(modules, { recursive: true });
  const isHost = (name: string) => !/^(?:\.|cwlogger$|@types$|@aws-sdk$)/.test(name);
  const hosts = (await readdir(join(EXAMPLES, "node_modules"))).filter(isHost);
  for (const name of hosts) await symlink(join(EXAMPLES, "node_modules", name), join(modules, name));
  await symlink(join(temporary, "cwlogger"), join(modules, "cwlogger"));
  for (const name of ["@aws-sdk", "@types"]) await symlink(join(ROOT, "node_modules", name), join(modules, name));
  await writeFile(join(project, "package.json"), `{ "type": "module", "private": true }`);
  await cp(join(ROOT, "cloudwatch.ts"), join(project, "cloudwatch.ts"));
  await writeFile(join(project, "cloudwatch.js"), javaScriptOf(read("cloudwatch.ts")));
  for (const block of programs.filter(({ language }) => language === "ts")) {
    await writeFile(join(project, `${nameOf(block)}.ts`), block.text);
  }
}

function javaScriptOf(text: string): string {
  return transformSync(text, { loader: "ts", format: "esm", target: "node20" }).code;
}

function nameOf({ page, line }: Block): string {
  return `${page.replace(/\W/g, "-")}-${line}`;
}

/** Runs a program until it ends, told of the service as the SDK is told of AWS; a server, a worker, a handler as AWS would. */
async function run(block: Block, service: LocalCloudWatchLogs): Promise<{ stdout: string; stderr: string }> {
  const isHandler = block.text.includes("export function handler");
  const isWorker = block.text.includes("closeOnSignals");
  const isServer = block.text.includes("listen(");
  const call = `console.log(JSON.stringify(await handler({ orderId: 17 }, { awsRequestId: "r-1" })));
    process.kill(process.pid, "SIGKILL");`;
  const file = `${nameOf(block)}.mjs`;
  await writeFile(join(project, file), javaScriptOf(isHandler ? `${block.text}\n${call}` : block.text));
  const program = new Program(
    spawn(process.execPath, [file], {
      cwd: project,
      env: {
        PATH: process.env.PATH,
        HOME: temporary,
        PORT: "0",
        NODE_OPTIONS: "--no-warnings",
        AWS_ENDPOINT_URL: service.endpoint,
        AWS_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
        SPOOL_DIRECTORY: join(temporary, `spool-${nameOf(block)}`),
      },
    }),
  );
  if (isServer || isWorker) await program.printed("\n");
  if (isServer) {
    const [, port] = /^port (\d+)$/m.exec(program.stdout) ?? [];
    const response = await fetch(`http://localhost:${port}/orders/17`);
    assert.equal(response.status, 200, await response.text());
  }
  if (isServer || isWorker) program.child.kill("SIGTERM");
  const { code: exit, signal, stdout, stderr } = await program.ended;
  const expected = isHandler ? [null, "SIGKILL"] : isWorker ? [null, "SIGTERM"] : [0, null];
  assert.deepEqual([exit, signal], expected, stdout + stderr);
  return { stdout, stderr };
}
