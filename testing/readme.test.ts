/**
 * README.md is true: every program in it is run against the local service, every policy is proven, every table is
 * compared with the code.
 *
 * The programs import a package that is built here, in a temporary folder: other tests may rebuild dist/ meanwhile.
 * The libraries come from examples/node_modules, which `npm ci` makes when it is missing.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { runInNewContext } from "node:vm";
import { CloudWatchLogsClient, FilterLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { transformSync } from "esbuild";
import ts from "typescript5";
import { CloudwatchLogger, type CloudwatchLoggerError, type CloudwatchLoggerOptions, LIMITS } from "../cloudwatch.ts";
import { LocalCloudWatchLogs, type LocalEvent } from "./local-cloudwatch.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const EXAMPLES = join(ROOT, "examples");
const GROUP = "my-app";
const SDK = "@aws-sdk/client-cloudwatch-logs";
const CREDENTIALS = { accessKeyId: "AKIDTEST", secretAccessKey: "correct-horse" };
const UNMEASURED = "Not measured yet.";

/** What the lead of a release fills in from a run. */
const FIGURES = /<!-- figures:(\w+) -->\n(.*?)<!-- \/figures:\1 -->/gs;

const readme = read("README.md");
const blocks = blocksOf(readme);
const programs = blocks.filter(({ language }) => language === "ts" || language === "js");
const prose = readme.replace(/^```.*?^```$/gms, "");

// biome-ignore lint/suspicious/noExplicitAny: events are looked into without ceremony
type Json = any;

/** Holds the built package, and a project that has it and the hosts installed. */
let temporary = "";
let project = "";

before(async () => {
  temporary = await realpath(await mkdtemp(join(tmpdir(), "cwlogger-readme-")));
  project = join(temporary, "project");
  if (!existsSync(join(EXAMPLES, "node_modules", ".package-lock.json"))) {
    console.log("examples/node_modules is missing: npm ci --prefix examples");
    await command("npm", "ci", "--prefix", EXAMPLES);
  }
  await buildPackage();
  await makeProject();
});

after(() => rm(temporary, { recursive: true, force: true }));

// ── Programs ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** By the heading above the program and, from the second under it on, a number. */
const CHECKS: Record<string, (world: World) => Promise<void>> = {
  Install: async (world) => {
    await world.run();
    assert.deepEqual(world.json(), [{ level: "INFO", message: "sent by the copied file" }]);
  },
  "Install 2": async (world) => {
    await world.run();
    assert.deepEqual(world.json(), [{ level: "INFO", message: "sent by the stand-alone file" }]);
  },
  Use: async (world) => {
    await world.run();
    const shown = blocks.find(({ language }) => language === "jsonl")?.text;
    const sent = world.messages().map((message) => message.replace(/(\\n {4}at ).*?"/, '$1…"'));
    assert.equal(`${sent.join("\n")}\n`, shown);
    const [group] = world.service.logGroups();
    assert.match(group?.logStreams.join() ?? "", /^\d{23}$/);
  },
  "Use 2": async (world) => {
    await world.run();
    assert.deepEqual(world.json(), [{ level: "INFO", message: "sent from CommonJS" }]);
  },
  Logging: async (world) => {
    const { stdout } = await world.run();
    assert.equal(stdout, "{ delivered: 6, logged: 6, rejected: 0, dropped: 0, pending: 0 }\n");
    const events = world.json();
    assert.deepEqual(
      events.map(({ level, message, service }) => [level, message, service]),
      [
        ["DEBUG", "cache warmed", "checkout"],
        ["INFO", "user signed in", "checkout"],
        ["ERROR", "card declined", "checkout"],
        ["WARN", "a level known at run time only", "checkout"],
        ["WARN", "slow query", "checkout"],
        ["INFO", "all events in here have the request's id, those of children and of awaited calls too", "checkout"],
      ],
    );
    assert.deepEqual(events[1].user, { id: 7, password: "[redacted]" });
    assert.equal(events[2].error.cause.message, "no funds");
    assert.deepEqual([events[4].component, events[4].durationMs], ["database", 1234]);
    assert.equal(events[5].requestId, "r-1");
  },
  "Events that are too large": async (world) => {
    await world.run();
    const parts = world.json();
    assert.equal(parts.length, 2);
    assert.equal(parts.map(({ message }) => message).join(""), "🚀".repeat(500_000));
    const [first, second] = parts.map(({ part }) => part);
    assert.deepEqual([first.count, second], [2, { ...first, index: first.index + 1 }]);
    for (const { orderId } of parts) assert.equal(orderId, 17);
  },
  "Hearing of trouble": async (world) => {
    await world.run();
    assert.equal(world.json()[0].message, "order placed");
    // The same with a service that refuses: both callbacks are heard.
    await using refusing = await LocalCloudWatchLogs.start({ allowedActions: [] });
    const text = world.block.text.replace("await logger.close()", "await logger.close(1_500)");
    const { stderr } = await world.run({ text, prints: true, env: { AWS_ENDPOINT_URL: refusing.endpoint } });
    assert.match(stderr, /^ERR_CONFIGURATION .*AccessDenied/m);
    assert.match(stderr, /^1 events unsent /m);
  },
  pino: async (world) => {
    await world.run();
    assert.deepEqual(world.pick("level", "msg", "orderId"), [[30, "order placed", 17]]);
    assert.equal(world.events()[0]?.timestamp, world.json()[0].time);
  },
  "pino 2": async (world) => {
    await world.run();
    assert.deepEqual(world.pick("level", "msg", "orderId"), [[30, "order placed", 17]]);
    // Its `region` counts, not that of the environment.
    assert.match(String(world.service.requests[0]?.headers.authorization), /\/eu-central-1\/logs\//);
  },
  winston: async (world) => {
    await world.run();
    assert.deepEqual(world.pick("level", "message", "orderId"), [["info", "order placed", 17]]);
  },
  bunyan: async (world) => {
    await world.run();
    assert.deepEqual(world.pick("level", "message", "orderId", "name"), [["INFO", "order placed", 17, "checkout"]]);
  },
  "morgan and Express, with request ids": async (world) => {
    await world.serve({ "x-request-id": "r-9" });
    const [event, access] = [world.messages().find((text) => text.startsWith("{")), world.messages().at(-1)];
    const expected = { level: "INFO", message: "order read", requestId: "r-9", orderId: "17" };
    assert.deepEqual(JSON.parse(event ?? ""), expected);
    assert.match(access ?? "", /"GET \/orders\/17 HTTP\/1\.1" 200/);
  },
  Fastify: async (world) => {
    await world.serve();
    assert.ok(world.json().some(({ msg, reqId }) => msg === "order read" && typeof reqId === "string"));
  },
  console: async (world) => {
    const { stderr } = await world.run({ prints: true });
    assert.match(stderr, /stock is low/);
    assert.deepEqual(world.json(), [{ level: "WARN", message: "stock is low", article: 4711 }]);
  },
  "AWS Lambda": async (world) => {
    const call = `const answer = await handler({ orderId: 17 }, { awsRequestId: "r-1" });
      console.log(JSON.stringify(answer));
      process.kill(process.pid, "SIGKILL");`;
    const { stdout } = await world.run({ text: `${world.block.text}\n${call}`, signal: "SIGKILL" });
    assert.equal(stdout, '{"statusCode":200}\n');
    const expected = { level: "INFO", message: "order received", requestId: "r-1", orderId: 17 };
    assert.deepEqual(world.json(), [expected]);
  },
  "Amazon ECS": async (world) => {
    await world.run({ signal: "SIGTERM", onLine: (_line, child) => child.kill("SIGTERM") });
    assert.deepEqual(world.pick("level", "message"), [["INFO", "worker started"]]);
    assert.equal(typeof world.json()[0].task, "string");
    assert.deepEqual(await readdir(world.spoolDirectory), []);
  },
  "Several processes, several containers": async (world) => {
    await world.run();
    assert.deepEqual(world.pick("message"), [["started"]]);
    const [name = ""] = world.service.logStreams(GROUP);
    assert.match(name, /^block-\d+\/[^/]+\/\d+\/\d{4}-\d\d-\d\d$/);
  },
  "Several log groups": async (world) => {
    await world.run();
    assert.deepEqual(
      world.service.logGroups().map(({ logGroupName, retentionInDays }) => [logGroupName, retentionInDays]),
      [
        ["my-app/access", 14],
        ["my-app/audit", 3653],
      ],
    );
    assert.equal(world.service.events("my-app/audit").length, 1);
    assert.equal(world.service.events("my-app/access").length, 1);
  },
  "Testing your own program": async (world) => {
    const { stdout } = await world.run();
    assert.match(stdout, /^(?:#|ℹ) pass 1$/m);
  },
  LocalStack: async (world) => {
    const env = { AWS_ENDPOINT_URL: "http://127.0.0.1:9", LOCALSTACK_ENDPOINT: world.service.endpoint };
    await world.run({ env });
    assert.deepEqual(world.pick("message"), [["order placed"]]);
  },
};

describe("programs of the README", { concurrency: 3 }, () => {
  it("have a check each", () => {
    const wanted = programs.filter(({ notRun }) => notRun === undefined).map(({ name }) => name);
    assert.deepEqual(wanted.sort(), Object.keys(CHECKS).sort());
    assert.equal(new Set(wanted).size, wanted.length);
  });

  it("compile, strictly", async () => {
    const names = programs.filter(({ language }) => language === "ts").map(({ name }) => fileOf(name, ".ts"));
    assert.ok(names.length > 10);
    const config = {
      compilerOptions: {
        target: "ES2022",
        lib: ["ES2023", "ESNext.Disposable"],
        types: ["node"],
        module: "NodeNext",
        noEmit: true,
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        verbatimModuleSyntax: true,
        skipLibCheck: true,
      },
      files: names,
    };
    await writeFile(join(project, "tsconfig.json"), JSON.stringify(config));
    for (const compiler of ["typescript5", "typescript"]) {
      await command(process.execPath, join(ROOT, "node_modules", compiler, "bin/tsc"), "-p", project);
    }
  });

  for (const block of programs) {
    const check = CHECKS[block.name];
    if (check === undefined) continue;
    it(`${block.name}, line ${block.line}`, { timeout: 80_000 }, async () => {
      await using service = await LocalCloudWatchLogs.start();
      await check(new World(block, service));
      assert.deepEqual(service.violations, []);
    });
  }
});

// ── Exit ────────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("ends of a process, as the README tells them", { concurrency: 3 }, () => {
  const kill = (signal: NodeJS.Signals) => `process.kill(process.pid, "${signal}"); setInterval(() => {}, 1_000);`;
  const ends = [
    { row: "nothing more to do", ending: "", code: 0, stderr: true },
    { row: "`await logger.close()`", ending: "await logger.close();", code: 0, stderr: true },
    { row: "`process.exit()`, uncaught exception", ending: "process.exit(3);", code: 3, stderr: true },
    { row: "`process.exit()`, uncaught exception", ending: `throw new Error("bug");`, code: 1, stderr: true },
    { row: "unhandled rejection", ending: `Promise.reject(new Error("bug"));`, code: 1, stderr: true },
    { row: "a signal in `closeOnSignals`", ending: kill("SIGTERM"), signal: "SIGTERM", stderr: true },
    { row: "any other signal, `SIGKILL`", ending: kill("SIGHUP"), signal: "SIGHUP", stderr: false },
    { row: "any other signal, `SIGKILL`", ending: kill("SIGKILL"), signal: "SIGKILL", stderr: false },
  ] as const;

  for (const { row, ending, stderr: isPrinted, ...how } of ends) {
    for (const hasSpool of [false, true]) {
      it(`${row}${ending && `: ${ending}`} ${hasSpool ? "with" : "without"} a spool`, async (t) => {
        assert.ok(section("Exit").includes(row));
        const spoolDirectory = await mkdtemp(join(temporary, "spool-"));
        const options = { closeTimeoutMs: 200, closeOnSignals: ["SIGTERM"], ...(hasSpool && { spoolDirectory }) };
        const text = `
          import { CloudwatchLogger } from "cwlogger";
          const logger = new CloudwatchLogger("${GROUP}", ${JSON.stringify(options)});
          logger.info("order placed");
          ${ending}`;
        const name = `end ${ends.findIndex((end) => end.ending === ending)} ${hasSpool}`;
        const block: Block = { name, language: "js", text, line: 0, intro: "", notRun: undefined };
        await using service = await LocalCloudWatchLogs.start();
        // Nobody listens there: the event cannot be delivered before the process ends.
        const env = { AWS_ENDPOINT_URL: "http://127.0.0.1:9" };
        const { stderr } = await new World(block, service).run({ text, env, prints: true, ...how });
        assert.equal(/^\{"timestamp":\d+,"message":.*order placed/m.test(stderr), isPrinted && !hasSpool, stderr);
        const next = new CloudwatchLogger(GROUP, { ...connection(service), ...(hasSpool && { spoolDirectory }) });
        t.after(() => next.close(0));
        await next.flush(20_000);
        assert.equal(service.events(GROUP).length, hasSpool ? 1 : 0);
      });
    }
  }

  it("have a row each", () => {
    for (const [row = ""] of tableAfter("Exit"))
      assert.ok(
        ends.some((end) => row.includes(end.row)),
        row,
      );
  });
});

// ── Shell ───────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("shell commands of the README", () => {
  const lines = blocks.filter(({ language }) => language === "sh").flatMap(({ text }) => text.trim().split("\n"));
  const { scripts, devDependencies } = JSON.parse(read("package.json"));
  const known = { ...devDependencies, ...JSON.parse(read("examples/package.json")).dependencies };

  it("run scripts that exist", () => {
    const all = [
      ...lines.join("\n").matchAll(/npm (?:run )?(\w[\w:]*)/g),
      ...prose.matchAll(/`npm (?:run )?(\w[\w:]*)/g),
    ];
    const names = all.map(([, name = ""]) => name).filter((name) => name !== "ci" && name !== "install");
    assert.ok(names.includes("demo") && names.includes("test") && names.includes("bench"));
    for (const name of names) assert.ok(Object.hasOwn(scripts, name), `package.json has no script "${name}"`);
  });

  it("install the AWS SDK that package.json asks for", () => {
    const [, from = ""] = /^>=(\d+\.\d+)\.\d+ </.exec(JSON.parse(read("package.json")).peerDependencies[SDK]) ?? [];
    assert.ok(readme.includes(`any version 3 of the AWS SDK from ${from} on`));
  });

  it("begin with the two commands, in this order", () => {
    const [first] = blocks;
    assert.equal(first?.text, "npm ci && npm run demo\nnpm test\n");
  });

  it("install and copy what exists", () => {
    const installed = lines
      .filter((line) => line.startsWith("npm install"))
      .flatMap((line) => line.split(" ").slice(2));
    const names = installed.filter((name) => !name.startsWith("--"));
    assert.ok(names.includes("cwlogger") && names.includes(SDK));
    for (const name of names) assert.ok(Object.hasOwn(known, name), name);
    const copied = lines.filter((line) => line.startsWith("cp ")).map((line) => line.split(" ")[1] ?? "");
    assert.deepEqual(copied, ["cloudwatch.ts"]);
    for (const name of copied) assert.ok(existsSync(join(ROOT, name)));
  });

  it("are of a known language, and only those that need AWS are not run", () => {
    const languages = new Set(blocks.map(({ language }) => language));
    assert.deepEqual([...languages].sort(), ["insights", "js", "json", "jsonl", "sh", "ts"]);
    const notRun = blocks.filter((block) => block.notRun !== undefined);
    assert.deepEqual(
      notRun.map(({ notRun, language }) => [language, notRun]),
      [["sh", "needs an AWS account; its filter pattern is tried on real events"]],
    );
  });
});

// ── Policies ────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("policies of the README", () => {
  const policies = blocks.filter(({ language }) => language === "json");

  it("are one for each way of use", () => {
    assert.deepEqual(
      policies.map(({ text }) => actionsOf(text).map((action) => action.replace("logs:", ""))),
      [
        ["PutLogEvents"],
        ["PutLogEvents", "CreateLogStream"],
        ["PutLogEvents", "CreateLogStream", "CreateLogGroup"],
        ["PutLogEvents", "CreateLogStream", "CreateLogGroup", "PutRetentionPolicy"],
        ["PutLogEvents", "CreateLogStream", "CreateLogGroup", "TagResource"],
      ],
    );
  });

  for (const { text, intro, line } of policies) {
    const actions = actionsOf(text);
    const options = optionsOf(intro);
    const title = `line ${line}: ${intro.replace(/`[:.].*$/, "`")}`;

    it(`${title}: enough`, async () => {
      const { service, errors, delivered } = await deliver(intro, options, actions);
      assert.deepEqual([delivered, errors], [1, []]);
      const [group] = service.logGroups();
      assert.equal(group?.retentionInDays, options.retentionInDays);
      assert.deepEqual(group?.tags, options.tags ?? {});
      // No call that is not in the policy was made, refused or not.
      const made = Object.entries(service.counts).flatMap(([name, count]) => (count > 0 ? [`logs:${name}`] : []));
      const called = options.tags === undefined ? made : [...made, "logs:TagResource"];
      assert.deepEqual(called.sort(), [...actions].sort());
    });

    for (const action of actions) {
      it(`${title}: not enough without ${action}`, async () => {
        const { service, errors, delivered } = await deliver(intro, options, withoutOne(actions, action));
        const isAttribute = /Retention|Tag/.test(action);
        assert.equal(delivered, isAttribute ? 1 : 0);
        assert.equal(errors[0]?.code, isAttribute ? "ERR_LOG_GROUP" : "ERR_CONFIGURATION");
        assert.match(errors[0]?.message ?? "", new RegExp(`AccessDenied.*${action}`));
        const [group] = service.logGroups();
        if (isAttribute) assert.deepEqual([group?.retentionInDays, group?.tags], [undefined, {}]);
      });
    }

    it(`${title}: the resource is this log group alone`, () => {
      const { Version, Statement } = JSON.parse(text);
      assert.equal(Version, "2012-10-17");
      const [{ Effect, Resource }] = Statement;
      const arn = `arn:aws:logs:eu-central-1:123456789012:log-group:${GROUP}`;
      // Source: LogGroup.arn and LogGroup.logGroupArn in the SDK's types.
      const wanted = actions.includes("logs:TagResource") ? [arn, `${arn}:*`] : [`${arn}:*`];
      assert.deepEqual([Effect, [Resource].flat()], ["Allow", wanted]);
    });
  }

  it("need no more for entity, class, KMS key and gzip", async () => {
    const options: CloudwatchLoggerOptions = {
      entity: { keyAttributes: { Type: "Service", Name: "checkout" } },
      logGroupClass: "INFREQUENT_ACCESS",
      kmsKeyId: "arn:aws:kms:eu-central-1:123456789012:key/1",
      compress: true,
    };
    const { service, errors, delivered } = await deliver("Nothing exists", options, actionsOf(policies[2]?.text ?? ""));
    assert.deepEqual([delivered, errors], [1, []]);
    assert.equal(service.logGroups()[0]?.logGroupClass, "INFREQUENT_ACCESS");
    assert.equal(service.logGroups()[0]?.kmsKeyId, options.kmsKeyId);
  });
});

// ── Reading events back ─────────────────────────────────────────────────────────────────────────────────────────────

describe("queries and filters of the README", () => {
  it("Logs Insights queries name fields and values that events have", async () => {
    await using service = await LocalCloudWatchLogs.start();
    const events = await sampleEvents(service);
    const names = new Set(events.flatMap((event) => flatNames(event)));
    const queries = blocks.filter(({ language }) => language === "insights");
    assert.ok(queries.length >= 5);
    for (const { text, line } of queries) {
      const { fields, comparisons } = readQuery(text);
      for (const name of fields) {
        const isKnown = names.has(name) || /^@(timestamp|message|logStream|ingestionTime)$/.test(name);
        assert.ok(isKnown, `no event has "${name}", which the query in line ${line} names`);
      }
      for (const [name, value] of comparisons) {
        const values = events.map((event) => valueAt(event, name)).filter((found) => found !== undefined);
        if (name === "part.id") assert.equal(shapeOf(value), shapeOf(String(values[0])), `line ${line}`);
        else assert.ok(values.includes(value), `no event has ${name} = "${value}", line ${line}`);
      }
    }
  });

  it("a query with a field that no event has would be found", () => {
    const { fields } = readQuery('fields @timestamp, severity | filter a.b = "c" | stats count(*) as n by bin(5m)\n');
    assert.deepEqual(fields.sort(), ["@timestamp", "a.b", "severity"]);
    assert.throws(() => readQuery("select message"), /select/);
  });

  it("metric filters find the events they are for, through FilterLogEvents", async () => {
    await using service = await LocalCloudWatchLogs.start();
    await sampleEvents(service);
    const rows = tableAfter("Alarms by metric filter");
    assert.deepEqual(
      rows.map(([who]) => who),
      ["cwlogger, bunyan raw", "pino, bunyan's JSON lines", "winston's JSON format", "the notice after dropped events"],
    );
    await hostEvents(service);
    const groups = [["cwlogger", "bunyan-raw"], ["pino", "bunyan-text"], ["winston"], ["sample"]];
    for (const [index, [, errors = "", worst = ""]] of rows.entries()) {
      for (const group of groups[index] ?? []) {
        for (const [cell, text] of [
          [errors, group === "sample" ? "dropped because the queue was full" : "an error"],
          [worst, "the worst"],
        ] as const) {
          if (cell === "") continue;
          const found = await filter(service, group, code(cell));
          assert.equal(found.length, 1, `${code(cell)} in ${group}`);
          assert.ok(found[0]?.includes(text), found[0]);
        }
      }
    }
    const [shown] = /(?<=--filter-pattern ')[^']+/.exec(readme) ?? [];
    assert.equal(shown, code(rows[0]?.[1] ?? ""));
  });

  it("formats are those of the table", async () => {
    await using service = await LocalCloudWatchLogs.start();
    const rows = tableAfter("Formats");
    assert.equal(rows.length, 5);
    for (const [index, [given = "", shown = ""]] of rows.entries()) {
      const text = code(given);
      const isFunction = text.startsWith("(");
      const format = isFunction ? ({ level, message }: Json) => `${level}/${message}` : JSON.parse(text);
      const fields = text.includes("{requestId}") ? { requestId: "r-1" } : {};
      const logger = new CloudwatchLogger(`format-${index}`, { ...connection(service), format, fields });
      (function placeOrder() {
        logger.info("order placed", { orderId: 17 });
      })();
      await logger.close();
      const [event] = service.events(`format-${index}`);
      const time = new Date(event?.timestamp ?? 0).toISOString();
      const expected = isFunction ? "info/order placed" : code(shown).replace("2026-11-20T09:30:00.000Z", time);
      assert.equal(event?.message, expected);
    }
  });
});

// ── Tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("tables of the README", () => {
  const source = ts.createSourceFile("cloudwatch.ts", read("cloudwatch.ts"), ts.ScriptTarget.Latest, true);

  it("options: every option once, with the default that the code has", () => {
    const documented = tableAfter("Options").map(([name = "", value = ""]) => [code(name), value] as const);
    const members = optionMembers(source);
    assert.deepEqual(
      documented.map(([name]) => name),
      members.map(({ name }) => name),
    );
    const inCode = defaultsOf(source);
    assert.ok(inCode.size > 10);
    const shown = new Map(documented);
    for (const { name, tag } of members) {
      assert.equal(plain(shown.get(name) ?? ""), plain(tag ?? "–"), `@defaultValue of "${name}"`);
      const value = inCode.get(name);
      if (value !== undefined) assert.equal(plain(shown.get(name) ?? ""), plain(value), `DEFAULTS.${name}`);
    }
    for (const name of inCode.keys()) assert.ok(shown.has(name), name);
  });

  it("options: the constructor knows each of them", () => {
    for (const [name = ""] of tableAfter("Options")) {
      assert.doesNotThrow(() => new CloudwatchLogger(null, { [code(name)]: undefined }));
    }
    assert.throws(() => new CloudwatchLogger(null, { flushInterval: undefined } as object), /unknown option/);
  });

  it("limits: those of LIMITS, each once", () => {
    const rows = tableAfter("Limits").map(([, value = "", name = ""]) => [code(name), value.replaceAll(",", "")]);
    const inCode = Object.entries(LIMITS).map(([name, value]) => [`LIMITS.${name}`, [value].flat().join(" ")]);
    assert.deepEqual(rows.sort(), inCode.sort());
    const [date] = /(?<=quotas page; checked )[\d-]+/.exec(read("cloudwatch.ts")) ?? [];
    assert.ok(date !== undefined && readme.includes(`Checked ${date}.`));
  });

  it("losses: the reasons of stats()", () => {
    const { rejectedReasons, droppedReasons } = new CloudwatchLogger(null).stats();
    const reasons = [...Object.keys(rejectedReasons), ...Object.keys(droppedReasons)];
    assert.deepEqual(
      tableAfter("Loss")
        .map(([name = ""]) => code(name))
        .sort(),
      reasons.sort(),
    );
    for (const [name = "", what = ""] of tableAfter("Loss")) {
      assert.ok(what.startsWith(Object.hasOwn(droppedReasons, code(name)) ? "dropped" : "re"), what);
    }
  });

  it("losses: content is given to onLoss where the table says so", () => {
    const kept = tableAfter("Loss").map(([name = "", , content]) => [code(name), content]);
    const without = kept.filter(([, content]) => content === "no").map(([name]) => name);
    assert.deepEqual(without.sort(), ["closed", "queueFull"]);
    assert.ok(kept.every(([, content]) => content === "yes" || content === "no"));
  });

  it("errors: all codes that the code has", () => {
    const codes = new Set([...read("cloudwatch.ts").matchAll(/"(ERR_[A-Z_]+)"/g)].map(([, name = ""]) => name));
    codes.delete("ERR_OVERSIZE");
    assert.deepEqual(
      tableAfter("Trouble")
        .map(([name = ""]) => code(name))
        .sort(),
      [...codes].sort(),
    );
    assert.ok(readme.includes("`ERR_OVERSIZE`"));
  });

  it("constants named in the text are those of the code", () => {
    for (const [name, value, text] of [
      ["RETRY_MIN_MS", 100, "a pause of up to 100 ms at first"],
      ["RETRY_MAX_MS", 10_000, "doubled each time up to 10 s"],
      ["REQUEST_TIMEOUT_MS", 30_000, "A request times out after 30 s"],
      ["PACE_MAX_MS", 30_000, "from `flushIntervalMs` up to 30 s"],
      ["CONFIGURATION_RETRY_MS", 30_000, "with a retry every 30 s at the latest"],
      ["QUEUE_HEADROOM", 0.8, "Above 80 % of it only `warn` and worse"],
      ["REPORT_INTERVAL_MS", 1_000, "at most one a second for each code"],
    ] as const) {
      const found = new RegExp(`^const ${name} = ([\\d_.]+);`, "m").exec(read("cloudwatch.ts"))?.[1];
      assert.equal(Number(found?.replaceAll("_", "")), value, name);
      assert.ok(readme.replace(/\s+/g, " ").includes(text), text);
    }
  });

  it("winston-cloudwatch's options, each once", () => {
    // Source: typescript/winston-cloudwatch.d.ts of winston-cloudwatch 6.3.0.
    const theirs =
      "name cloudWatchLogs level ensureLogGroup logGroupName logStreamName awsAccessKeyId awsSecretKey awsRegion " +
      "awsOptions jsonMessage messageFormatter uploadRate errorHandler silent retentionInDays";
    checkMigration("Moving over from winston-cloudwatch", theirs);
  });

  it("@serdnam/pino-cloudwatch-transport's options, each once", () => {
    // Source: PinoCloudwatchTransportOptions of @serdnam/pino-cloudwatch-transport 1.0.4.
    const theirs = "logGroupName logStreamName awsRegion awsAccessKeyId awsSecretAccessKey interval";
    checkMigration("Moving over from @serdnam/pino-cloudwatch-transport", theirs);
  });

  /** Left their options, right ours. */
  function checkMigration(heading: string, theirs: string): void {
    const rows = tableAfter(heading);
    assert.deepEqual(rows.map(([name = ""]) => code(name)).sort(), theirs.split(" ").sort());
    const ours = new Set([...optionMembers(source).map(({ name }) => name), "logGroupName"]);
    const others = new Set(["CloudwatchLogger", "silent"]);
    for (const [theirName = "", text = ""] of rows) {
      for (const [, name = ""] of text.matchAll(/`(\w+)`/g)) assert.ok(ours.has(name) || others.has(name), name);
      if (ours.has(code(theirName)) && code(theirName) !== "level") assert.ok(text.includes(code(theirName)), text);
    }
  }

  it("fleet: the arithmetic", () => {
    const [, put = "", create = ""] =
      /has, in each region, ([\d,]+) PutLogEvents and (\d+) CreateLogStream/.exec(readme) ?? [];
    assert.deepEqual([number(put), number(create)], [5_000, 50]);
    const rows = tableAfter("How many processes one account carries");
    assert.ok(rows.length >= 3);
    for (const row of rows) {
      const [processes = 0, intervalMs = 0, perSecond, percent, seconds] = row.map(number);
      assert.equal(perSecond, (processes * 1_000) / intervalMs);
      assert.equal(percent, ((perSecond ?? 0) / number(put)) * 100);
      assert.equal(seconds, processes / number(create));
      assert.ok(processes <= (number(put) * 0.8 * intervalMs) / 1_000);
    }
  });

  it("runtimes: the versions of the matrix, and the hosts of examples/", () => {
    const table = section("Where it runs");
    const [header = ""] = table.split("\n").filter((line) => line.startsWith("|"));
    const versions = [...read("testing/matrix.mjs").matchAll(/^ {2}"?[\w@]+"?: "(\d+\.\d+\.\d+)",$/gm)];
    assert.ok(versions.length >= 6);
    assert.deepEqual(
      header.match(/\d+\.\d+\.\d+/g),
      versions.map(([, version]) => version),
    );
    const { dependencies } = JSON.parse(read("examples/package.json"));
    const hosts = Object.entries<string>(dependencies).filter(([name]) => name !== "cwlogger");
    const wanted = hosts.map(([name, version]) => `${name.replace(/\d+$/, "")} ${version.split("@").at(-1)}`);
    const rows = tableAfter("Where it runs").map(([first = ""]) => first);
    const found = rows.flatMap((row) =>
      [...row.matchAll(/([a-z]+) (\d[\d.]+)(?:, (\d[\d.]+))?/g)].flatMap(([, name, ...all]) =>
        all.filter((version) => version !== undefined).map((version) => `${name} ${version}`),
      ),
    );
    assert.deepEqual(found.sort(), wanted.sort());
  });
});

// ── Text ────────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("text of the README", () => {
  it("is in order", () => {
    const headings = [...prose.matchAll(/^## (.+)$/gm)].map(([, text]) => text);
    assert.deepEqual(headings, [
      "Two commands",
      "Install",
      "Use",
      "What happens to your logs",
      "Options",
      "Logging",
      "Recipes",
      "Permissions",
      "Limits",
      "How many processes one account carries",
      "Where it runs",
      "Benchmarks",
      "When not to use it",
      "Development",
      "Licence",
    ]);
  });

  it("links to what exists", () => {
    const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
    const headings = [...prose.matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) => text);
    const anchors = headings.map((text) =>
      text
        .toLowerCase()
        .replace(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    );
    assert.ok(targets.length > 5);
    for (const target of targets) {
      if (target.startsWith("#")) assert.ok(anchors.includes(target.slice(1)), target);
      // Made by `npm run bench`.
      else if (!target.startsWith("bench/results.")) assert.ok(existsSync(join(ROOT, target)), target);
    }
    const used = [...prose.replace(/`[^`]*`/g, "").matchAll(/\[(\w+)\](?![:(\w])/g)].map(([, name = ""]) => name);
    for (const name of used)
      assert.match(readme, new RegExp(`^\\[${name}\\]: https://docs\\.aws\\.amazon\\.com/`, "m"));
  });

  it("uses the words of the glossary", () => {
    // Measured figures are tables with words of their own.
    const text = prose.replaceAll(FIGURES, "");
    assert.deepEqual(badWords(text.replace(/<!--.*?-->/g, "")), []);
  });

  it("a word that is not of the glossary would be found", () => {
    assert.deepEqual(badWords("The payload was lost when its stream failed."), ["payload", "lost", "stream", "failed"]);
    assert.deepEqual(badWords("A log stream, a Node.js stream, `stream()`, one line on stderr."), []);
  });

  it("has a place for each measured figure", () => {
    for (const name of ["faults", "kills", "fleet", "bench"]) assert.ok(figures(name).length > 0, name);
    assert.match(readme, /^!\[benchmark\]\(bench\/results\.svg\)$/m);
  });

  // Remove `todo` once the figures are in: then an unmeasured one fails.
  it("has every figure measured", { todo: readme.includes(UNMEASURED) }, () => {
    for (const name of ["faults", "kills", "fleet", "bench"]) assert.notEqual(figures(name), UNMEASURED, name);
  });

  function figures(name: string): string {
    const found = [...readme.matchAll(FIGURES)].find((match) => match[1] === name);
    return found?.[2]?.trim() ?? "";
  }
});

/** Words that stand for something the glossary has another word for. */
function badWords(text: string): string[] {
  const words = text
    .replace(/\s+/g, " ")
    .replace(/`[^`]*`/g, "")
    .replace(/\]\([^)]*\)/g, "]")
    // Streams, lines and records of Node.js, of terminals and files, and of hosts; the end of other things.
    .replace(/Node\.js streams?|one line|JSON lines?|the lines of a file|bunyan's records/g, "")
    .matchAll(
      /\b(meta|payloads?|severity|chunks?|bulk|fragments?|buffer(?:s|ed)?|lost|fail(?:ed|s)?|skip(?:s|ped)?|drain(?:s|ed)?|shutdowns?|trim(?:s|med)?|cuts?|ttl|entry|entries|lines?|records?)\b|(?<!\blog )\b(groups?|streams?)\b/gi,
    );
  return [...words].map(([word]) => word);
}

// ── Policies and queries ────────────────────────────────────────────────────────────────────────────────────────────

function actionsOf(policy: string): string[] {
  return JSON.parse(policy).Statement.flatMap(({ Action }: { Action: string[] }) => Action);
}

function withoutOne(actions: string[], one: string): string[] {
  return actions.filter((action) => action !== one);
}

/** The options in the line above a policy. */
function optionsOf(intro: string): CloudwatchLoggerOptions {
  const [text] = /(?<=`)\{.*\}(?=`)/.exec(intro) ?? [];
  return JSON.parse(JSON.stringify(runInNewContext(`(${text})`)));
}

/** Logs one event with these options and this policy, in the state that the line above the policy tells. */
async function deliver(intro: string, options: CloudwatchLoggerOptions, allowedActions: string[]) {
  await using service = await LocalCloudWatchLogs.start({ allowedActions });
  if (intro.startsWith("The log group exists")) service.createLogGroup(GROUP);
  else if (intro.startsWith("The log stream exists")) service.createLogStream(GROUP, options.logStreamName ?? "");
  else assert.match(intro, /^Nothing exists/);
  const errors: CloudwatchLoggerError[] = [];
  let hear = () => {};
  const heard = new Promise<void>((resolve) => {
    hear = resolve;
  });
  const onError = (error: CloudwatchLoggerError) => {
    errors.push(error);
    // Tags and retention are refused before the event is sent.
    if (error.code !== "ERR_LOG_GROUP") hear();
  };
  const logger = new CloudwatchLogger(GROUP, { ...connection(service), ...options, onError, onLoss: () => {} });
  logger.info("order placed");
  await Promise.race([heard, logger.flush(20_000)]);
  await logger.close(0);
  return { service, errors, delivered: service.events(GROUP).length };
}

/** Events of every kind that the queries ask for, as objects, in the log group "sample". */
async function sampleEvents(service: LocalCloudWatchLogs): Promise<Json[]> {
  const small = { ...connection(service), maxBatchBytes: 1_024, onLoss: () => {} };
  const logger = new CloudwatchLogger("sample", small);
  logger.info("order read", { requestId: "r-1" });
  logger.error(new TypeError("card declined"));
  logger.fatal("out of memory");
  const splitter = new CloudwatchLogger("sample", { ...small, overflow: "split" });
  splitter.info("x".repeat(2_000));
  const truncating = new CloudwatchLogger("sample", { ...small, overflow: "truncate" });
  truncating.info("x".repeat(2_000));
  const full = new CloudwatchLogger("sample", { ...small, maxQueueBytes: 2_048 });
  for (let index = 0; index < 100; index++) full.info("one too many", { index });
  for (const each of [logger, splitter, truncating, full]) {
    await each.flush(20_000);
    assert.equal((await each.close()).pending, 0);
  }
  return service.events("sample").map(({ message }) => JSON.parse(message));
}

/** What each host makes of an event, an error and a worse one, in a log group of its own. */
async function hostEvents(service: LocalCloudWatchLogs): Promise<void> {
  const text = `
    import bunyan from "bunyan";
    import { CloudwatchLogger } from "cwlogger";
    import pino from "pino";
    import winston from "winston";
    const stream = (group) => new CloudwatchLogger(group).stream();
    const hosts = [
      new CloudwatchLogger("cwlogger"),
      pino(stream("pino")),
      bunyan.createLogger({ name: "x", streams: [{ type: "raw", stream: stream("bunyan-raw") }] }),
      bunyan.createLogger({ name: "x", stream: stream("bunyan-text") }),
      winston.createLogger({ transports: [stream("winston")] }),
    ];
    for (const host of hosts) {
      host.info("an event");
      host.error("an error");
      host.fatal?.("the worst");
    }`;
  const block: Block = { name: "hosts", language: "js", text, line: 0, intro: "", notRun: undefined };
  await new World(block, service).run();
}

async function filter(service: LocalCloudWatchLogs, logGroupName: string, filterPattern: string): Promise<string[]> {
  const { region, endpoint, credentials } = connection(service);
  const client = new CloudWatchLogsClient({ region, endpoint, credentials });
  const { events = [] } = await client.send(new FilterLogEventsCommand({ logGroupName, filterPattern }));
  client.destroy();
  return events.map(({ message = "" }) => message);
}

/** The fields that a query names, and the values that it compares them with. Knows the commands of the README only. */
function readQuery(text: string): { fields: string[]; comparisons: [string, string][] } {
  const aliases = new Set([...text.matchAll(/\bas (\w+)/g)].map(([, name]) => name));
  const names: string[] = [];
  const comparisons: [string, string][] = [];
  for (const step of text.trim().split(/\s*\|\s*/)) {
    const [, verb = "", rest = ""] = /^(\w+)\s+(.*)$/s.exec(step) ?? [];
    assert.match(verb, /^(fields|filter|stats|sort|limit)$/, `"${verb}" is no command of Logs Insights`);
    for (const [, name = "", values = ""] of rest.matchAll(/([@\w.]+) (?:=|in) (\[[^\]]*\]|"[^"]*")/g)) {
      for (const value of [JSON.parse(values)].flat()) comparisons.push([name, value]);
    }
    const words = rest.replace(/"[^"]*"|\b\d+\w*/g, "").match(/[@A-Za-z_][\w.]*(?:\s*\()?/g) ?? [];
    names.push(...words.filter((word) => !/\($|^(as|by|in|and|or|not|asc|desc)$/.test(word) && !aliases.has(word)));
  }
  return { fields: [...new Set(names)], comparisons };
}

function flatNames(value: Json, prefix = ""): string[] {
  return Object.entries<Json>(value).flatMap(([name, inner]) =>
    typeof inner === "object" && inner !== null ? flatNames(inner, `${prefix}${name}.`) : [prefix + name],
  );
}

function valueAt(event: Json, path: string): Json {
  return path.split(".").reduce((value, name) => value?.[name], event);
}

/** What an id looks like; each has another one. */
function shapeOf(id: string): string {
  return `${id.length} ${/^[\da-f]+$/.test(id) ? "hexadecimal" : "other"} characters`;
}

// ── The code ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The members of CloudwatchLoggerOptions, in their order, with what `@defaultValue` says. */
function optionMembers(source: ts.SourceFile): { name: string; tag: string | undefined }[] {
  const options = source.statements.find(
    (statement): statement is ts.InterfaceDeclaration =>
      ts.isInterfaceDeclaration(statement) && statement.name.text === "CloudwatchLoggerOptions",
  );
  assert.ok(options && options.members.length > 20);
  return options.members.map((member) => {
    const tag = ts.getJSDocTags(member).find(({ tagName }) => tagName.text === "defaultValue");
    return { name: member.name?.getText() ?? "", tag: ts.getTextOfJSDocComment(tag?.comment) };
  });
}

/** The properties of DEFAULTS, as they are written. */
function defaultsOf(source: ts.SourceFile): Map<string, string> {
  const defaults = new Map<string, string>();
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && node.name.getText() === "DEFAULTS" && node.initializer) {
      assert.ok(ts.isCallExpression(node.initializer));
      const [object] = node.initializer.arguments;
      assert.ok(object && ts.isObjectLiteralExpression(object));
      for (const property of object.properties) {
        assert.ok(ts.isPropertyAssignment(property));
        const value = ts.isAsExpression(property.initializer) ? property.initializer.expression : property.initializer;
        const limit = /^LIMITS\.(\w+)$/.exec(value.getText())?.[1] as keyof typeof LIMITS | undefined;
        defaults.set(property.name.getText(), limit === undefined ? value.getText() : String(LIMITS[limit]));
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return defaults;
}

/** Without backticks, and numbers without their separators. */
function plain(text: string): string {
  return text
    .replaceAll("`", "")
    .replace(/(?<=\d)[_,](?=\d)/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

// ── Markdown ────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Block {
  /** The heading above; from the second program under it on, with a number. */
  name: string;
  language: string;
  text: string;
  line: number;
  /** The last line of text above. */
  intro: string;
  /** Why it is not run. */
  notRun: string | undefined;
}

function blocksOf(markdown: string): Block[] {
  const found: Block[] = [];
  const counts = new Map<string, number>();
  let heading = "";
  let intro = "";
  let notRun: string | undefined;
  let block: Block | undefined;
  for (const [index, line] of markdown.split("\n").entries()) {
    if (block !== undefined) {
      if (line !== "```") block.text += `${line}\n`;
      else block = undefined;
    } else if (line.startsWith("```")) {
      const language = line.slice(3);
      const isProgram = language === "ts" || language === "js";
      const count = (counts.get(heading) ?? 0) + (isProgram ? 1 : 0);
      counts.set(heading, count);
      const name = count > 1 ? `${heading} ${count}` : heading;
      block = { name, language, text: "", line: index + 1, intro, notRun };
      found.push(block);
      notRun = undefined;
    } else if (line.startsWith("#")) {
      heading = line.replace(/^#+ /, "");
    } else if (line.startsWith("<!-- not run: ")) {
      notRun = /^<!-- not run: (.+) -->$/.exec(line)?.[1];
    } else if (line.trim() !== "") {
      intro = line;
    }
  }
  assert.equal(block, undefined, "a code block has no end");
  return found;
}

/** The text under a heading, up to the next of any level. */
function section(heading: string): string {
  const lines = readme.split("\n");
  const from = lines.findIndex((line) => line.replace(/^#+ /, "") === heading && line.startsWith("#"));
  assert.ok(from >= 0, `there is no heading "${heading}"`);
  const length = lines.slice(from + 1).findIndex((line) => /^#+ /.test(line));
  return lines.slice(from + 1, length < 0 ? undefined : from + 1 + length).join("\n");
}

/** The cells of the table under a heading, without its header. */
function tableAfter(heading: string): string[][] {
  const rows = section(heading)
    .split("\n")
    .filter((line) => line.startsWith("|"));
  assert.ok(rows.length > 2, `no table under "${heading}"`);
  return rows.slice(2).map((row) =>
    row
      .slice(1, -1)
      .split("|")
      .map((cell) => cell.trim()),
  );
}

/** What is between the first two backticks. */
function code(cell: string): string {
  return /`([^`]+)`/.exec(cell)?.[1] ?? cell;
}

function number(text: string): number {
  return Number(text.replace(/,| %| s$/g, ""));
}

// ── Projects and processes ──────────────────────────────────────────────────────────────────────────────────────────

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

function connection(service: LocalCloudWatchLogs) {
  return { endpoint: service.endpoint, region: "us-east-1", credentials: CREDENTIALS };
}

/** @throws with all that the command has printed. */
async function command(program: string, ...args: string[]): Promise<void> {
  try {
    await promisify(execFile)(program, args, { cwd: temporary });
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    console.error(stdout + stderr);
    throw new Error(`${program} ${args.join(" ")}\n${stdout}${stderr}`, { cause: error });
  }
}

/** Builds the package as `npm run build` does, but in a folder of its own. */
async function buildPackage(): Promise<void> {
  const folder = join(temporary, "cwlogger");
  await mkdir(join(folder, "testing"), { recursive: true });
  const sources = ["package.json", "build.mjs", "tsconfig.json", "cloudwatch.ts", "LICENSE"];
  for (const file of [...sources, "testing/local-cloudwatch.ts"]) await cp(join(ROOT, file), join(folder, file));
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  await command(process.execPath, join(folder, "build.mjs"));
}

/** The project of somebody who follows the README: the package and the hosts, the copied and the stand-alone file. */
async function makeProject(): Promise<void> {
  const modules = join(project, "node_modules");
  await mkdir(modules, { recursive: true });
  const hosts = (await readdir(join(EXAMPLES, "node_modules"))).filter((name) => !/^\.|^cwlogger$|^@types$/.test(name));
  for (const name of hosts) await symlink(join(EXAMPLES, "node_modules", name), join(modules, name));
  await symlink(join(temporary, "cwlogger"), join(modules, "cwlogger"));
  for (const name of ["@aws-sdk", "@types"]) await symlink(join(ROOT, "node_modules", name), join(modules, name));
  await writeFile(join(project, "package.json"), `{ "type": "module", "private": true }`);
  await cp(join(temporary, "cwlogger/dist/cloudwatch.standalone.mjs"), join(project, "cloudwatch.standalone.mjs"));
  await cp(join(ROOT, "cloudwatch.ts"), join(project, "cloudwatch.ts"));
  await writeFile(join(project, "cloudwatch.js"), javaScriptOf(read("cloudwatch.ts")));
  for (const { name, language, text } of programs) {
    if (language === "ts") await writeFile(join(project, fileOf(name, ".ts")), text);
  }
}

function javaScriptOf(text: string): string {
  return transformSync(text, { loader: "ts", format: "esm", target: "node20" }).code;
}

function fileOf(name: string, extension: string): string {
  const index = programs.findIndex((block) => block.name === name);
  return `${index < 0 ? name.replaceAll(" ", "-") : `block-${index}`}${extension}`;
}

interface RunOptions {
  /** Runs this instead of the block. */
  text?: string;
  env?: Record<string, string>;
  /** The program is expected to print on stderr. */
  prints?: boolean;
  /** The exit code expected. Default: 0. */
  code?: number;
  /** It is expected to end by this signal, instead of with a code. */
  signal?: NodeJS.Signals;
  /** Called with the first line of stdout. */
  onLine?: (line: string, child: ChildProcess) => unknown;
}

/** A program of the README, and the service that it talks to. */
class World {
  readonly block: Block;
  readonly service: LocalCloudWatchLogs;
  readonly spoolDirectory: string;

  constructor(block: Block, service: LocalCloudWatchLogs) {
    this.block = block;
    this.service = service;
    this.spoolDirectory = join(temporary, `spool-${block.line}`);
  }

  events(): LocalEvent[] {
    return this.service.events(GROUP);
  }

  messages(): string[] {
    return this.events().map(({ message }) => message);
  }

  json(): Json[] {
    return this.messages().map((message) => JSON.parse(message));
  }

  /** These fields of every event. */
  pick(...names: string[]): Json[][] {
    return this.json().map((event) => names.map((name) => event[name]));
  }

  /** Runs a web server: asks it for an order once it listens, then sends SIGTERM. */
  async serve(headers: Record<string, string> = {}): Promise<void> {
    await this.run({
      onLine: async (line, child) => {
        const [, port] = /^port (\d+)$/.exec(line) ?? [];
        const response = await fetch(`http://localhost:${port}/orders/17`, { headers });
        assert.equal(response.status, 200);
        await response.text();
        child.kill("SIGTERM");
      },
    });
  }

  /** Runs the block in the project, told of the service as the SDK is told of AWS. Killed after 60 s. */
  async run(options: RunOptions = {}): Promise<{ stdout: string; stderr: string }> {
    const { text = this.block.text, env = {}, prints = false, code = 0, signal = null, onLine } = options;
    const isCommonJs = /\brequire\(/.test(text);
    const file = fileOf(this.block.name, isCommonJs ? ".cjs" : ".mjs");
    await writeFile(join(project, file), isCommonJs ? text : javaScriptOf(text));
    const child = spawn(process.execPath, [file], {
      cwd: project,
      env: {
        PATH: process.env.PATH,
        HOME: temporary,
        PORT: "0",
        NODE_OPTIONS: "--no-warnings",
        AWS_ENDPOINT_URL: this.service.endpoint,
        AWS_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
        AWS_EC2_METADATA_DISABLED: "true",
        SPOOL_DIRECTORY: this.spoolDirectory,
        ...env,
      },
    });
    const output = { stdout: "", stderr: "" };
    let failure: unknown;
    let isHeard = onLine === undefined;
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (data: string) => {
        output[name] += data;
        const end = output.stdout.indexOf("\n");
        if (isHeard || end < 0) return;
        isHeard = true;
        Promise.resolve()
          .then(() => onLine?.(output.stdout.slice(0, end), child))
          .catch((error: unknown) => {
            failure = error;
            child.kill("SIGKILL");
          });
      });
    }
    const killer = setTimeout(() => {
      failure = new Error(`still running after 60 s: ${JSON.stringify(output)}`);
      child.kill("SIGKILL");
    }, 60_000);
    const ended = await new Promise<unknown[]>((resolve, reject) => {
      child.once("error", reject).once("close", (...how) => resolve(how));
    });
    clearTimeout(killer);
    if (failure !== undefined) throw failure;
    assert.deepEqual(ended, [signal === null ? code : null, signal], output.stdout + output.stderr);
    if (!prints) assert.equal(output.stderr, "");
    return output;
  }
}
