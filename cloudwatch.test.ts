/**
 * Tests of cloudwatch.ts through its public contract: the real AWS SDK over HTTP against the local service.
 *
 * `check` is `it` with a World: a service, loggers made for it, and what every test owes: no limit of CloudWatch Logs
 * broken, no Describe call, every event accounted for. Helpers are at the bottom.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { inspect, stripVTControlCharacters } from "node:util";
import { CloudWatchLogsClient } from "@aws-sdk/client-cloudwatch-logs";
import fc from "fast-check";
import {
  CloudwatchLogger,
  type CloudwatchLoggerError,
  type CloudwatchLoggerOptions,
  type Level,
  type LogEvent,
  type Loss,
  type Stats,
} from "./cloudwatch.js";
import { LocalCloudWatchLogs, type LocalFault, type LocalRequest } from "./testing/local-cloudwatch.js";
import { range } from "./testing/support.js";

const GROUP = "my-app";
const STREAM = "main";
const NOW = Date.UTC(2026, 0, 31, 12);
const HOUR_MS = 3_600_000;
const OVERHEAD_BYTES = 26;
const MAX_BATCH_BYTES = 1_048_576;
const LEVEL_NAMES = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
/** What the message says and nothing else: sizes are then easy to tell. */
const RAW = ({ message }: { message: string }) => message;
const CREDENTIALS = { accessKeyId: "AKIDTEST", secretAccessKey: "correct-horse", sessionToken: "battery-staple" };

// Mocked timers must not stop the tests themselves.
const realSetTimeout = globalThis.setTimeout;
const realClearTimeout = globalThis.clearTimeout;
const realNow = performance.now.bind(performance);

// The SDK warns once in a process about old versions of Node; not in the middle of a test.
new CloudWatchLogsClient({ region: "us-east-1" }).destroy();

fc.configureGlobal({ seed: 2026, numRuns: 60 });

// ── 6 · Options ─────────────────────────────────────────────────────────────────────────────────────────────────────

describe("options", () => {
  const tags = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, "v"]));
  const keyAttributes = { Type: "Service", Name: "checkout" };
  const client = { send: async () => ({}) };

  // Each option with values that are refused up front; the message names the option and shows the value.
  const refused: [option: string, values: unknown[]][] = [
    ["logStreamName", ["", "a:b", "a*b", "x".repeat(513), 5, null]],
    ["region", ["", 5]],
    ["profile", ["", 5]],
    ["createLogGroup", ["yes", 1]],
    ["retentionInDays", [0, 2, 3654, 1.5, "7", Number.NaN]],
    ["tags", [tags(51), { "": "v" }, { ["k".repeat(129)]: "v" }, { k: "v".repeat(257) }, { k: 1 }, "k=v"]],
    ["kmsKeyId", ["", "k".repeat(257), 5]],
    ["logGroupClass", ["standard", "", 5]],
    ["entity", [{ keyAttributes: { Type: "Service" } }, "checkout", { keyAttributes, attributes: tags(11) }]],
    ["level", ["verbose", "warnings", 30, null]],
    ["fields", ["a=b", 5]],
    ["format", ["", 5, null]],
    ["console", ["true", 0]],
    ["overflow", ["drop", "", true]],
    ["maxEventBytes", [255, 1_048_577, 300.5, Number.NaN, "1000"]],
    ["maxBatchBytes", [0, -1, 1_048_577, 1.5, Number.POSITIVE_INFINITY, "1000"]],
    ["maxBatchEvents", [0, -1, 10_001, 1.5, "10"]],
    ["flushIntervalMs", [0, -1, Number.NaN, "1000"]],
    ["maxInFlight", [0, 17, 1.5, "4"]],
    ["maxQueueBytes", [0, 1_048_575, Number.NaN, "1 MB"]],
    ["closeTimeoutMs", [-1, Number.NaN, "8s"]],
    ["closeOnSignals", ["SIGTERM", ["SIGNONE"], ["SIGKILL"], [15]]],
    ["onError", ["log", {}]],
    ["onLoss", [5, true]],
  ];
  for (const [option, values] of refused) {
    it(`"${option}" is refused out of its range`, () => {
      for (const value of values) {
        const error = refusal({ [option]: value });
        assert.match(error.message, new RegExp(`"${option}" must be .+, received .+`), inspect(value));
        if (typeof value !== "object") ok(error.message.includes(String(value).slice(0, 20)), error.message);
      }
    });
  }

  it("what is at the edge of a range is accepted", () => {
    const accepted: CloudwatchLoggerOptions[] = [
      { maxEventBytes: 256, maxBatchBytes: 256, maxQueueBytes: 256, maxBatchEvents: 1, maxInFlight: 1 },
      { maxEventBytes: 1_048_576, maxBatchBytes: 1_048_576, maxQueueBytes: 1_048_576 },
      { maxBatchEvents: 10_000, maxInFlight: 16, flushIntervalMs: 1, closeTimeoutMs: 0 },
      { retentionInDays: 1, tags: tags(50), kmsKeyId: "k".repeat(256), logGroupClass: "INFREQUENT_ACCESS" },
      { retentionInDays: 3653, tags: { ["k".repeat(128)]: "v".repeat(256) }, logStreamName: "x".repeat(512) },
      { entity: { keyAttributes, attributes: tags(10) }, closeOnSignals: [], level: "silent" },
      { level: "" },
    ];
    for (const options of accepted) assert.doesNotThrow(() => new CloudwatchLogger(null, options), inspect(options));
  });

  it("unknown options are refused by name", () => {
    for (const name of ["retentionDays", "loglevel", "", "__proto__x", "toString"]) {
      ok(refusal({ [name]: 7 }).message.includes(name), name);
    }
  });

  it("an option that is undefined has its default", async () => {
    const names = [...refused.map(([option]) => option), "credentials", "endpoint", "client"];
    const logger = new CloudwatchLogger(null, Object.fromEntries(names.map((name) => [name, undefined])));
    assert.equal(logger.level, "info");
    assert.match(logger.logStreamName, /^\d{23}$/);
  });

  it("the log group's name is checked", () => {
    for (const name of ["", "a b", "a:b", "é", "x".repeat(513), "aws/lambda", 5, {}]) {
      assert.throws(() => new CloudwatchLogger(name as string), /"logGroupName" must be .+, received /, inspect(name));
    }
    assert.throws(() => new (CloudwatchLogger as new () => CloudwatchLogger)(), {
      name: "TypeError",
      message: /logGroupName.*undefined/,
    });
    for (const name of ["x".repeat(512), "/aws/lambda/f", "a.b_c-d/e#F9"]) new CloudwatchLogger(name).close();
  });

  it("limits that contradict each other are refused", () => {
    assert.match(refusal({ maxBatchBytes: 1_000, maxEventBytes: 1_001 }).message, /"maxEventBytes".*1000.*1001/);
    assert.match(refusal({ maxBatchBytes: 1_000, maxQueueBytes: 999 }).message, /"maxQueueBytes".*1000.*999/);
    assert.doesNotThrow(() => new CloudwatchLogger(null, { maxBatchBytes: 1_000, maxQueueBytes: 1_000 }));
  });

  it("a client excludes region, profile, credentials and endpoint", () => {
    const others = { region: "eu-west-1", profile: "p", credentials: CREDENTIALS, endpoint: "http://localhost:1" };
    for (const [name, value] of Object.entries(others)) {
      const { message } = refusal({ client, [name]: value });
      ok(message.includes('"client"') && message.includes(`"${name}"`), message);
    }
    for (const value of [{}, "client", { send: 1 }]) assert.match(refusal({ client: value }).message, /"client"/);
  });

  it("half-given credentials are refused and no secret is shown", () => {
    const { accessKeyId, secretAccessKey, sessionToken } = CREDENTIALS;
    const values = [
      { accessKeyId },
      { secretAccessKey },
      { accessKeyId, secretAccessKey: "" },
      { accessKeyId: "", secretAccessKey },
      { accessKeyId: 5, secretAccessKey },
      { accessKeyId, secretAccessKey, sessionToken: 5 },
      { accessKeyId, sessionToken },
      secretAccessKey,
    ];
    for (const value of values) {
      const error = refusal({ credentials: value });
      assert.match(error.message, /"credentials"/);
      assert.doesNotMatch(inspect(error), /correct-horse|battery-staple/);
    }
    for (const value of ["nowhere", "ftp://user:correct-horse@host", "http://user:correct-horse@:80", 5]) {
      const error = refusal({ endpoint: value });
      assert.match(error.message, /"endpoint"/);
      assert.doesNotMatch(inspect(error), /correct-horse/);
    }
  });

  check("the constructor does no I/O", async (w) => {
    const before = process.listenerCount("exit");
    const logger = w.logger({ logStreamName: undefined });
    await quiet();
    assert.deepEqual(w.service.requests, []);
    assert.deepEqual(counts(logger.stats()), stats({}));
    assert.equal(process.listenerCount("exit"), before + 1);
  });

  it("a null log group prints every event and needs no SDK", async (t) => {
    const lines = captureConsole(t);
    const logger = new CloudwatchLogger(null, { format: "text", level: "trace" });
    for (const level of LEVEL_NAMES) logger[level](`a ${level}`, { n: 1 });
    const printed = LEVEL_NAMES.map((level) => `${level.toUpperCase()} a ${level} {"n":1}`);
    assert.deepEqual(lines, printed);
    assert.deepEqual(counts(await logger.close()), stats({ logged: 6, delivered: 6 }));
    // With the SDK out of reach it works all the same.
    const child = await run(
      `const logger = new CloudwatchLogger(null); logger.info("printed"); await logger.close();`,
      { withoutSdk: true },
    );
    assert.deepEqual([child.code, child.stdout], [0, '{"level":"INFO","message":"printed"}\n']);
  });

  check("console: true prints each event as well", async (w) => {
    const lines = captureConsole(w.t);
    const logger = w.logger({ console: true });
    logger.warn("both", { n: 1 });
    logger.debug("neither");
    await logger.flush();
    assert.deepEqual(lines, ['{"level":"WARN","message":"both","n":1}']);
    assert.deepEqual(w.messages(), lines);
  });

  check("a missing SDK is told to onError by name and events are kept", async () => {
    const child = await run(
      `const errors = [];
       const logger = new CloudwatchLogger("g", { ...options, logStreamName: "s", onError: (e) => errors.push(e.message) });
       logger.fatal("kept");
       while (errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
       await logger.flush(50);
       console.log(JSON.stringify({ errors, pending: logger.stats().pending }));
       await logger.close(0);`,
      { withoutSdk: true },
    );
    const { errors, pending } = JSON.parse(child.stdout);
    assert.equal(errors.length, 1);
    assert.match(errors[0], /@aws-sdk\/client-cloudwatch-logs/);
    assert.equal(pending, 1);
    assert.match(child.stderr, /kept/);
  });
});

describe("logStreamName", () => {
  check("the default is time and chance, created before the first put", async (w) => {
    w.clock(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
    const logger = w.logger({ logStreamName: undefined });
    assert.match(logger.logStreamName, /^20260102030405678\d{6}$/);
    logger.info("first");
    await logger.flush();
    assert.deepEqual(w.actions(), ["CreateLogStream", "CreateLogGroup", "CreateLogStream", "PutLogEvents"]);
    assert.deepEqual(w.service.logStreams(GROUP), [logger.logStreamName]);
    logger.info("second");
    await logger.flush();
    assert.deepEqual(w.actions().slice(4), ["PutLogEvents"]);
  });

  check("a default name that is taken is replaced by another", async (w) => {
    const logger = w.logger({ logStreamName: undefined });
    const taken = logger.logStreamName;
    w.service.createLogStream(GROUP, taken);
    logger.info("mine");
    await logger.flush();
    assert.notEqual(logger.logStreamName, taken);
    assert.match(logger.logStreamName, /^\d{23}$/);
    assert.deepEqual(w.service.events(GROUP, taken), []);
    assert.equal(w.service.events(GROUP, logger.logStreamName).length, 1);
  });

  check("placeholders are filled in at construction and cleaned of : and *", async (w) => {
    const [, program] = process.argv;
    w.t.after(() => process.argv.splice(1, 1, String(program)));
    process.argv[1] = "/opt/we:ird*prog.js";
    const logger = w.logger({ logStreamName: "{program}/{hostname}/{pid}/{random}/{other}" });
    process.argv[1] = "/opt/later.js";
    const name = logger.logStreamName;
    assert.match(name, new RegExp(`^we.ird.prog(\\.js)?/[^/]+/${process.pid}/\\d{3}/\\{other\\}$`));
    assert.doesNotMatch(name, /[:*]/);
    logger.info("x");
    await logger.flush();
    assert.deepEqual(w.service.logStreams(GROUP), [name]);
  });

  check("{date} rotates with the event's day, a batch ends where the name changes", async (w) => {
    w.clock(Date.UTC(2026, 0, 30, 23, 59, 59, 998));
    const logger = w.logger({ logStreamName: "app-{date}", flushIntervalMs: 10_000 });
    assert.equal(logger.logStreamName, "app-2026-01-30");
    for (const name of ["a", "b", "c", "d"]) {
      logger.info(name);
      w.tick(1);
    }
    assert.equal(logger.logStreamName, "app-2026-01-31");
    await logger.flush();
    assert.deepEqual(w.texts("app-2026-01-30"), ["a", "b"]);
    assert.deepEqual(w.texts("app-2026-01-31"), ["c", "d"]);
    const delivering = w.puts().filter(({ answer }) => answer?.status === 200);
    assert.deepEqual(
      delivering.map(({ events }) => events),
      [2, 2],
    );
  });
});

// ── 6 · Levels ──────────────────────────────────────────────────────────────────────────────────────────────────────

describe("levels", () => {
  for (const [index, level] of [...LEVEL_NAMES, "silent" as const].entries()) {
    check(`threshold ${level} lets ${LEVEL_NAMES.length - index} levels through`, async (w) => {
      const logger = w.logger({ level });
      for (const name of LEVEL_NAMES) logger[name](name);
      for (const name of LEVEL_NAMES) logger.log(name, `log ${name}`);
      const passing = LEVEL_NAMES.slice(index) as readonly Level[];
      assert.deepEqual(
        LEVEL_NAMES.filter((name) => logger.isLevelEnabled(name)),
        passing,
      );
      assert.equal((await logger.flush()).logged, 2 * passing.length);
      const expected = [...passing, ...passing.map((name) => `log ${name}`)];
      assert.deepEqual(w.texts(), expected);
      assert.deepEqual(
        w.messages().map((text) => JSON.parse(text).level),
        [...passing, ...passing].map(upper),
      );
    });
  }

  check("level may be set at any time", async (w) => {
    const logger = w.logger();
    assert.equal(logger.level, "info");
    logger.debug("no");
    logger.level = "debug";
    assert.equal(logger.level, "debug");
    logger.debug("yes");
    logger.level = "silent";
    logger.fatal("no");
    await logger.flush();
    assert.deepEqual(w.texts(), ["yes"]);
  });

  const spellings: [given: string, level: string][] = [
    ["INFO", "info"],
    ["Warn", "warn"],
    ["warning", "warn"],
    ["WARNING", "warn"],
    ["SILENT", "silent"],
    ["", "info"],
  ];
  for (const [given, level] of spellings) {
    check(`the threshold ${inspect(given)} is ${level}`, async (w) => {
      const [logger, other] = [w.logger({ level: given }), w.logger({ level: "trace" })];
      const child = other.child({}, { level: given });
      other.level = given;
      assert.deepEqual([logger.level, child.level, other.level], [level, level, level]);
    });
  }

  check("log() takes a level in any case, and warning", async (w) => {
    const logger = w.logger();
    for (const level of ["WARN", "Warning", "debug", "DEBUG", "Error"]) logger.log(level as Level, "m");
    await logger.flush();
    assert.deepEqual(
      w.parsed().map(({ level }) => level),
      ["WARN", "WARN", "ERROR"],
    );
  });

  check("log() of anything but a level is info()", async (w) => {
    const logger = w.logger();
    const error = new Error("failed");
    const others = [
      "verbose",
      "",
      "silent",
      "__proto__",
      "toString",
      "100 %s",
      35,
      null,
      undefined,
      {},
      error,
      Symbol("s"),
    ];
    const calls: unknown[][] = [...others.map((value) => [value, "counted"]), ...others.map((value) => [value])];
    calls.push(["info"], ["warn"], ["order placed", { orderId: 17 }], ["order", 17, "placed"], [error, { a: 1 }]);
    for (const call of calls) Reflect.apply(logger.log, undefined, call);
    await logger.flush();
    const logged = w.messages();
    for (const call of calls) Reflect.apply(logger.info, undefined, call);
    await logger.flush();
    assert.deepEqual(logged, w.messages().slice(calls.length));
    assert.equal(logged.length, calls.length);
    logger.level = "warn";
    for (const call of calls) Reflect.apply(logger.log, undefined, call);
    assert.equal(logger.stats().logged, 2 * calls.length);
  });

  check("log() of an object takes the level from it", async (w) => {
    const logger = w.logger();
    const log = logger.log as (...values: unknown[]) => void;
    log({ level: "error", message: "m", a: 1 });
    log({ level: "WARNING", message: "m" });
    log({ level: "debug", message: "filtered" });
    log({ level: "loud", message: "m" });
    await logger.flush();
    assert.deepEqual(w.parsed(), [
      { level: "ERROR", message: "m", a: 1 },
      { level: "WARN", message: "m" },
      { level: "INFO", message: "m", level_: "loud" },
    ]);
  });

  check("fatal sends at once", async (w) => {
    w.clock();
    const logger = w.logger();
    logger.info("before");
    logger.fatal("down");
    await until(() => w.messages().length === 2);
    assert.deepEqual(w.texts(), ["before", "down"]);
  });

  check("child() adds fields and shares queue, stream and lifecycle", async (w) => {
    const logger = w.logger({ fields: { service: "checkout", a: 1 } });
    const child = logger.child({ a: 2, requestId: "r" });
    const grandchild = child.child({ b: 3 }, { level: "debug" });
    logger.info("parent");
    child.info("child", { requestId: "own" });
    grandchild.debug("grandchild");
    child.debug("filtered");
    assert.equal(grandchild.level, "debug");
    assert.equal(child.logStreamName, logger.logStreamName);
    assert.deepEqual(await grandchild.flush(), logger.stats());
    assert.deepEqual(w.parsed(), [
      { level: "INFO", message: "parent", service: "checkout", a: 1 },
      { level: "INFO", message: "child", service: "checkout", a: 2, requestId: "own" },
      { level: "DEBUG", message: "grandchild", service: "checkout", a: 2, requestId: "r", b: 3 },
    ]);
    assert.equal(child.close(), logger.close());
    await child.close();
    logger.info("late");
    grandchild.info("late");
    assert.equal(child.stats().droppedReasons.closed, 2);
  });

  check("child() never throws", async (w) => {
    const logger = w.logger();
    for (const value of hostileValues()) {
      const options = { level: "loud" } as unknown as { level: "info" };
      logger.child(value as object).info("x");
      logger.child({}, options).info("x");
      logger.child({ value }, value as object).error("x");
    }
    const { logged } = await logger.flush();
    assert.equal(logged, 3 * hostileValues().length);
    assert.equal(w.messages().length, logged);
  });
});

// ── 7 · Format ──────────────────────────────────────────────────────────────────────────────────────────────────────

describe("format json", () => {
  class Point {
    x = 1;
    y = 2;
  }
  const cycle: Record<string, unknown> = { a: 1 };
  cycle.self = cycle;
  const withGetter = Object.defineProperty({ ok: 1 } as object, "bad", {
    enumerable: true,
    get() {
      throw new Error("getter failed");
    },
  });

  // biome-ignore format: a table
  const cases: [title: string, args: unknown[], event: string | RegExp][] = [
    ["text", ["hello"], '{"level":"INFO","message":"hello"}'],
    [
      "text and fields",
      ["hello", { a: 1, b: [true, null] }],
      '{"level":"INFO","message":"hello","a":1,"b":[true,null]}',
    ],
    ["empty text", [""], '{"level":"INFO","message":""}'],
    ["0", [0], '{"level":"INFO","message":"0"}'],
    ["false", [false], '{"level":"INFO","message":"false"}'],
    ["null", [null], '{"level":"INFO","message":"null"}'],
    ["undefined", [undefined], '{"level":"INFO","message":"undefined"}'],
    ["NaN", [Number.NaN], '{"level":"INFO","message":"NaN"}'],
    ["a bigint", [12n], '{"level":"INFO","message":"12"}'],
    ["a symbol", [Symbol("s")], '{"level":"INFO","message":"Symbol(s)"}'],
    ["a function", [function placeOrder() {}], /"message":".*placeOrder.*"/],
    ["an array", [[1, "a", { b: 2 }]], /^\{"level":"INFO","message":"\[.*1.*a.*b.*2.*\]"\}$/],
    ["a Map", [new Map([["key", "value"]])], /key.*value/],
    ["a Set", [new Set(["member"])], /member/],
    ["a Date", [new Date(NOW)], /"message":".*2026-01-31T12:00:00.000Z.*"/],
    ["an object", [{ a: 1, b: "x" }], '{"level":"INFO","a":1,"b":"x"}'],
    ["an object and fields", [{ a: 1 }, { b: 2 }], '{"level":"INFO","a":1,"b":2}'],
    ["an object's own message", [{ message: "m", a: 1 }], '{"level":"INFO","message":"m","a":1}'],
    ["a class instance", [new Point()], '{"level":"INFO","x":1,"y":2}'],
    ["a Buffer", [Buffer.from("bytes")], /bytes|98,121,116,101,115/],
    ["no fields", ["x", undefined], '{"level":"INFO","message":"x"}'],
    ["null behind it", ["x", null], '{"level":"INFO","message":"x null"}'],
    ["a number behind it", ["x", 1], '{"level":"INFO","message":"x 1"}'],
    ["a text behind it", ["x", "y"], '{"level":"INFO","message":"x y"}'],
    ["a Map behind it", ["x", new Map([["k", 1]])], `{"level":"INFO","message":"x Map(1) { 'k' => 1 }"}`],
    ["placeholders", ["%s costs %d", "tea", 3], '{"level":"INFO","message":"tea costs 3"}'],
    ["several values", ["x", { a: 1 }, undefined], `{"level":"INFO","message":"x","a":1}`],
    ["undefined between others", ["x", undefined, 1], '{"level":"INFO","message":"x undefined 1"}'],
    ["pino's order", [{ a: 1 }, "x"], '{"level":"INFO","message":"x","a":1}'],
    ["fields that are undefined", ["x", { a: undefined, b: 1 }], '{"level":"INFO","message":"x","b":1}'],
    [
      "names of the event's own",
      ["x", { level: 1, message: 2, error: 3, part: 4, truncatedBytes: 5 }],
      '{"level":"INFO","message":"x","level_":1,"message_":2,"error_":3,"part_":4,"truncatedBytes_":5}',
    ],
    [
      "an object with those names",
      [{ message: "m", level: "l", a: 1 }],
      '{"level":"INFO","message":"m","level_":"l","a":1}',
    ],
    ["nested names stay", ["x", { a: { level: 1 } }], '{"level":"INFO","message":"x","a":{"level":1}}'],
    [
      "numbers JSON does not know",
      ["x", { a: Number.NaN, b: -Infinity }],
      '{"level":"INFO","message":"x","a":"NaN","b":"-Infinity"}',
    ],
    ["bigint fields", ["x", { a: 10n ** 20n }], '{"level":"INFO","message":"x","a":"100000000000000000000"}'],
    ["symbol fields", ["x", { a: Symbol("s") }], /"a":"Symbol\(s\)"/],
    ["function fields", ["x", { a: function f() {}, b: 1 }], /"a":".*f.*","b":1/],
    ["a Map field", ["x", { a: new Map([["k", 1]]) }], /"a":.*k.*1/],
    ["a Set field", ["x", { a: new Set([7, 8]) }], /"a":\[7,8\]/],
    ["a Date field", ["x", { a: new Date(NOW) }], /"a":"2026-01-31T12:00:00.000Z"/],
    ["an invalid Date", ["x", { a: new Date(Number.NaN), b: 1 }], /"a":.*"b":1/],
    ["a cycle", ["x", { a: cycle, b: 1 }], /"a":\{"a":1,"self":.+\},"b":1/],
    ["the same object twice", ["x", { a: { n: 1 }, b: [1] }], /"a":\{"n":1\},"b":\[1\]/],
    ["a getter that throws", ["x", withGetter], /"ok":1,"bad":".*getter failed.*"/],
    ["toJSON", ["x", { a: { toJSON: () => ({ z: 1 }) } }], '{"level":"INFO","message":"x","a":{"z":1}}'],
    ["toJSON that throws", ["x", { a: { toJSON: () => boom() }, b: 1 }] as never, /"b":1/],
    ["quotes and controls", ['"\\\n\u0001\u007f'], `{"level":"INFO","message":${JSON.stringify('"\\\n\u0001\u007f')}}`],
    [
      "a lone surrogate",
      ["a\ud800b", { "k\udc00": "\ud800" }],
      '{"level":"INFO","message":"a\\ud800b","k\\udc00":"\\ud800"}',
    ],
    ["__proto__", ["x", JSON.parse('{"__proto__":{"a":1}}')], '{"level":"INFO","message":"x","__proto__":{"a":1}}'],
  ];

  check("every value has a JSON event", async (w) => {
    w.clock();
    const logger = w.logger({ maxBatchEvents: 1_000 });
    for (const [, args] of cases) Reflect.apply(logger.info, undefined, args);
    await logger.flush();
    const messages = w.messages();
    assert.equal(messages.length, cases.length);
    for (const [index, [title, , expected]] of cases.entries()) {
      const message = String(messages[index]);
      assert.doesNotThrow(() => JSON.parse(message), `${title}: ${message}`);
      if (typeof expected === "string") assert.equal(message, expected, title);
      else assert.match(message, expected, title);
    }
  });

  check("an Error is told whole", async (w) => {
    const logger = w.logger();
    const cause = Object.assign(new TypeError("the cause"), { code: "E_CAUSE" });
    const error = Object.assign(new RangeError("card declined", { cause }), { orderId: 17, nested: { a: [1] } });
    logger.error(error, { cart: 3 });
    logger.error("could not pay", { error });
    logger.error("nested", { inner: { error: cause } });
    logger.error(new AggregateError([new Error("first"), new Error("second")], "both failed"));
    logger.error({ err: cause, message: "as a field" });
    logger.error("as fields", cause);
    logger.error(cause, "pino's order");
    logger.error("several", 1, cause);
    logger.error(cause, { err: error, n: 1 });
    logger.error(Object.assign(new Error("odd"), { name: "Custom", stack: undefined }));
    await logger.flush();
    const [plain, asError, nested, aggregate, err, asFields, pinos, several, two, odd] = w.parsed();
    assert.equal(plain.level, "ERROR");
    assert.equal(plain.message, "card declined");
    assert.equal(plain.cart, 3);
    assert.equal(plain.error.name, "RangeError");
    assert.equal(plain.error.message, "card declined");
    assert.equal(plain.error.stack, error.stack);
    assert.equal(plain.error.orderId, 17);
    assert.deepEqual(plain.error.nested, { a: [1] });
    assert.equal(plain.error.cause.message, "the cause");
    assert.equal(plain.error.cause.code, "E_CAUSE");
    assert.equal(plain.error.cause.stack, cause.stack);
    assert.equal(asError.message, "could not pay");
    assert.equal(asError.error.stack, error.stack);
    assert.equal(nested.inner.error.stack, cause.stack);
    assert.deepEqual(
      aggregate.error.errors.map((inner: Error) => inner.message),
      ["first", "second"],
    );
    for (const event of [err, asFields, pinos, several]) {
      // Behind the message: CloudWatch Logs finds the first 200 fields of an event only.
      assert.deepEqual(Object.keys(event), ["level", "message", "error"]);
      assert.deepEqual([event.error.code, event.error.stack], ["E_CAUSE", cause.stack]);
    }
    assert.equal(err.message, "as a field");
    assert.equal(asFields.message, "as fields");
    assert.equal(pinos.message, "pino's order");
    assert.match(several.message, /^several 1 TypeError: the cause/);
    assert.deepEqual([two.error.code, two.err.stack, two.n], ["E_CAUSE", error.stack, 1]);
    assert.equal(odd.error.name, "Custom");
  });

  check("no log call throws, whatever it is given", async (w) => {
    const formats = ["json", "text", "{a} {message}: ", RAW, "{timestamp} {caller} "] as const;
    for (const format of formats) {
      const logger = w.logger({ format, level: "trace" });
      for (const value of hostileValues()) {
        logger.info(value);
        logger.info("x", value as object);
        logger.info("x", { value, neighbour: "survives" });
        logger.log(value as Level, value, value as object);
      }
      const { logged, delivered } = await logger.flush();
      assert.equal(logged, 4 * hostileValues().length);
      assert.equal(delivered, logged);
      if (format !== RAW && format !== "{timestamp} {caller} ") {
        const survivors = w.messages().filter((text) => text.includes("survives")).length;
        ok(survivors >= hostileValues().length, `${String(format)}: ${survivors}`);
      }
    }
  });

  check("a log call inside of a getter does not mix events up", async (w) => {
    const logger = w.logger();
    const value = {
      get inner() {
        logger.info("inner", { n: 1 });
        return "got";
      },
      after: 2,
    };
    logger.info("outer", { before: 0, value });
    await logger.flush();
    const messages = w.messages().sort();
    assert.deepEqual(messages, [
      '{"level":"INFO","message":"inner","n":1}',
      '{"level":"INFO","message":"outer","before":0,"value":{"inner":"got","after":2}}',
    ]);
  });

  it("an event is what JSON.stringify makes of it", async () => {
    const { logger, sent } = fakeClientLogger();
    const json = fc.jsonValue({ stringUnit: "binary", maxDepth: 4 });
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary" }), json, async (message, value) => {
        sent.length = 0;
        logger.info(message, { value });
        await logger.flush();
        assert.equal(sent[0]?.message, JSON.stringify({ level: "INFO", message, value }));
      }),
      { numRuns: 400 },
    );
    await logger.close();
  });

  describe("an event of any length is whole, and counted to the byte", () => {
    const nothing = { toJSON: () => undefined };
    const long = '"é\u0001'.repeat(30_000);
    const cases: [string, (inner: CloudwatchLogger) => object, unknown][] = [
      ["many numbers", () => ({ value: range(60_000) }), { value: range(60_000) }],
      ["many names", () => Object.fromEntries(range(9_000).map((n) => [`name "${n}"`, n])), undefined],
      ["long texts", () => ({ value: [long, long] }), undefined],
      [
        "surrogates at any place",
        () => ({ value: range(9).map((n) => "x".repeat(n) + "🚀".repeat(9_000)) }),
        undefined,
      ],
      ["what is left out behind a long text", () => ({ a: [long, nothing], b: nothing }), { a: [long, null] }],
      [
        "what cannot be read behind a long text",
        () => ({
          a: Object.defineProperty({ long }, "bad", {
            enumerable: true,
            get() {
              throw new Error("no");
            },
          }),
        }),
        { a: { long, bad: "[unreadable: no]" } },
      ],
      [
        "values that log while they are read",
        (inner) => ({
          a: '"before"'.repeat(50),
          get b() {
            inner.info('"'.repeat(500));
            inner.info("too long ".repeat(1_000));
            return '"after"';
          },
        }),
        { a: '"before"'.repeat(50), b: '"after"' },
      ],
    ];
    for (const [title, make, fields] of cases) {
      it(title, async () => {
        const inner = fakeClientLogger({ overflow: "truncate", maxEventBytes: 2_000 }).logger;
        const text = JSON.stringify({ level: "INFO", message: "m", ...((fields as object) ?? make(inner)) });
        const bytes = Buffer.byteLength(text) + 26;
        const { logger, sent } = fakeClientLogger({ maxEventBytes: bytes });
        logger.info("m", make(inner));
        logger.info("m", make(inner));
        await logger.close();
        assert.deepEqual(
          sent.map(({ message }) => message === text),
          [true, true],
        );
        const strict = fakeClientLogger({ maxEventBytes: bytes - 1, onLoss: () => {} }).logger;
        assert.throws(() => strict.info("m", make(inner)), {
          code: "ERR_OVERSIZE",
          message: new RegExp(`: ${bytes} bytes`),
        });
        await Promise.all([strict.close(), inner.close()]);
      });
    }
  });

  it("a character that needs an escape gets it at any place of a text", async () => {
    const characters = [...range(0x100), 0x2028, 0x3042, 0xd800, 0xdfff, 0xffff].map((code) =>
      String.fromCharCode(code),
    );
    const texts = characters.flatMap((one) =>
      range(20).map((place) => `${"x".repeat(place)}${one}${"y".repeat(45 + (place % 9))}${one}`),
    );
    for (const format of ["json", "{message}"]) {
      const { logger, sent } = fakeClientLogger({ format, maxQueueBytes: 2 ** 26 });
      for (const text of texts) logger.info(text);
      await logger.close();
      const asSent = (message: string) =>
        format === "json" ? JSON.stringify({ level: "INFO", message }) : wellFormed(message);
      assert.deepEqual(
        sent.map(({ message }) => message),
        texts.map(asSent),
      );
    }
  });

  it("fields are kept under their names, those of the event's own with an underscore behind", async () => {
    const { logger, sent } = fakeClientLogger();
    const names = fc.oneof(fc.constantFrom("level", "message", "error", "part", "truncatedBytes", "msg"), fc.string());
    await fc.assert(
      fc.asyncProperty(fc.dictionary(names, fc.jsonValue()), async (fields) => {
        sent.length = 0;
        logger.info("m", fields);
        await logger.flush();
        const own = ["level", "message", "error", "part", "truncatedBytes"];
        const renamed = Object.entries(fields).map(([name, value]) => [own.includes(name) ? `${name}_` : name, value]);
        const expected = JSON.parse(JSON.stringify({ level: "INFO", message: "m", ...Object.fromEntries(renamed) }));
        assert.deepEqual(JSON.parse(String(sent[0]?.message)), expected);
      }),
      { numRuns: 200 },
    );
    await logger.close();
  });
});

describe("format text, template and function", () => {
  const formatted = async (
    w: World,
    format: CloudwatchLoggerOptions["format"],
    log: (logger: CloudwatchLogger) => void,
    options: CloudwatchLoggerOptions = {},
  ) => {
    const logger = w.logger({ format, ...options });
    log(logger);
    await logger.flush();
    return w.messages();
  };

  const templates: [format: string, args: [unknown, object?], text: string][] = [
    ["text", ["hello"], "INFO hello"],
    ["text", ["hello", { a: 1, b: "x" }], 'INFO hello {"a":1,"b":"x"}'],
    ["text", [{ a: 1, message: "own" }], 'INFO own {"a":1}'],
    ["text", ["two\nlines"], "INFO two\nlines"],
    ["text", ["a\ud800", { k: "\udc00" }], 'INFO a\ufffd {"k":"\\udc00"}'],
    ["{level}: ", ["hello"], "INFO: hello"],
    ["[{timestamp}] {level} {message}", ["hello"], "[2026-01-31T12:00:00.000Z] INFO hello"],
    ["{level}: {func}: ", ["hello", { func: "pay" }], "INFO: pay: hello"],
    ["{level}: {func}: ", ["hello", { other: 1 }], 'INFO: : hello {"other":1}'],
    ["{a}-{b} {message}!", ["m", { a: 1, b: { c: [2] } }], '1-{"c":[2]} m!'],
    ["{message} {message} ", ["m"], "m m "],
    ["{message}", ["m", { a: undefined }], "m"],
    ["no placeholder ", ["m"], "no placeholder m"],
  ];
  for (const [format, args, text] of templates) {
    check(`${inspect(format)} of ${inspect(args)} is ${inspect(text)}`, async (w) => {
      w.clock();
      assert.deepEqual(await formatted(w, format, (logger) => logger.info(...args)), [text]);
    });
  }

  check("{caller} is the calling function's name", async (w) => {
    function placeOrder(logger: CloudwatchLogger) {
      logger.info("m");
      logger.child({}).log("info", "m");
    }
    const messages = await formatted(w, "{level}: {func}: {caller}: ", placeOrder);
    assert.deepEqual(messages, ["INFO: : placeOrder: m", "INFO: : placeOrder: m"]);
  });

  check("an Error shows as its stack in text and templates", async (w) => {
    const error = Object.assign(new Error("boom", { cause: new Error("root") }), { code: "E_BOOM" });
    const [text] = await formatted(w, "text", (logger) => logger.error(error, { a: 1 }));
    ok(text?.startsWith(`ERROR ${error.stack}`), text);
    assert.match(String(text), /root/);
    assert.match(String(text), /\{"a":1\}$/);
  });

  check("a function gets the event and its text is sent", async (w) => {
    const events: unknown[] = [];
    const error = new Error("boom");
    w.clock();
    const messages = await formatted(
      w,
      (event) => {
        events.push({ ...event, fields: { ...event.fields } });
        return `<${event.message}>`;
      },
      (logger) => {
        logger.warn("careful", { a: 1 });
        logger.error(error);
      },
      { fields: { service: "s" } },
    );
    assert.deepEqual(messages, ["<careful>", "<boom>"]);
    assert.deepEqual(events[0], { timestamp: NOW, level: "warn", message: "careful", fields: { service: "s", a: 1 } });
    assert.equal((events[1] as { error: unknown }).error, error);
  });

  const failing: [title: string, format: () => unknown][] = [
    [
      "throws",
      () => {
        throw new Error("format failed");
      },
    ],
    ["gives undefined", () => undefined],
    ["gives a number", () => 5],
    ["gives a rejected promise", async () => Promise.reject(new Error("late"))],
  ];
  for (const [title, format] of failing) {
    check(`a function that ${title} leaves JSON and one onError`, async (w) => {
      const messages = await formatted(w, format as () => string, (logger) => {
        for (const text of ["a", "b", "c"]) logger.info(text, { n: 1 });
      });
      assert.deepEqual(
        messages,
        ["a", "b", "c"].map((text) => `{"level":"INFO","message":"${text}","n":1}`),
      );
      assert.equal(w.errors.length, 1);
    });
  }

  check("an event whose text would be empty is one space", async (w) => {
    const messages = await formatted(w, RAW, (logger) => {
      logger.info("");
      logger.info({ a: 1 });
    });
    assert.deepEqual(messages, [" ", " "]);
  });

  check("a lone surrogate becomes U+FFFD in a function's text", async (w) => {
    assert.deepEqual(await formatted(w, RAW, (logger) => logger.info("a\udc00\ud800b😀")), ["a\ufffd\ufffdb😀"]);
  });
});

// ── 8 · Size and overflow ───────────────────────────────────────────────────────────────────────────────────────────

/** Characters with the UTF-8 bytes that they are sent as, plain and inside of JSON. */
const CHARACTERS: [name: string, character: string, bytes: number, inJson: number][] = [
  ["letters", "a", 1, 1],
  ["umlauts", "é", 2, 2],
  ["euros", "€", 3, 3],
  ["emoji", "😀", 4, 4],
  ["lone surrogates", "\udc00", 3, 6],
  ["quotes", '"', 1, 2],
  ["backslashes", "\\", 1, 2],
  ["line breaks", "\n", 1, 2],
  ["control characters", "\u0001", 1, 6],
  ["DEL", "\u007f", 1, 1],
];

describe("size and overflow", () => {
  /** A message of exactly `bytes`: as many of `character` as fit, then letters. */
  const filled = (character: string, size: number, bytes: number) =>
    character.repeat(Math.floor(bytes / size)) + "x".repeat(bytes % size);
  const jsonBytes = Buffer.byteLength('{"level":"INFO","message":""}');

  for (const maxEventBytes of [256, 262_144, 1_048_576]) {
    for (const [name, character, plain, inJson] of CHARACTERS) {
      check(`${maxEventBytes} bytes of ${name} fit, one more does not`, async (w) => {
        const room = maxEventBytes - OVERHEAD_BYTES;
        for (const [format, size, own] of [
          [RAW, plain, 0],
          ["text", plain, Buffer.byteLength("INFO ")],
          ["json", inJson, jsonBytes],
        ] as const) {
          const logger = w.logger({ format, maxEventBytes, logStreamName: `s-${String(format).slice(0, 4)}` });
          const message = filled(character, size, room - own);
          logger.info(message);
          for (const tooLong of [`${message}y`, `y${message}`, message + character]) {
            assert.throws(() => logger.info(tooLong), { name: "RangeError", code: "ERR_OVERSIZE" });
          }
          logger.info(message.slice(0, -1));
          const after = await logger.flush();
          assert.deepEqual([after.logged, after.delivered, after.droppedReasons.oversize], [5, 2, 3]);
          const [first] = w.service.events(GROUP, logger.logStreamName);
          assert.equal(Buffer.byteLength(String(first?.message)), room);
        }
      });
    }
  }

  const EDGE = [-1, 0, 1, 2, 3, 4, 5, 6];
  for (const [name, character, plain] of CHARACTERS) {
    check(`truncate cuts ${name} at the end, as late as possible, never inside of a code point`, async (w) => {
      const logger = w.logger({ format: RAW, overflow: "truncate", maxEventBytes: 256 });
      for (const extra of EDGE) logger.info("x".repeat(extra + 1) + character.repeat(Math.floor(230 / plain) + 1));
      const { delivered } = await logger.flush();
      assert.equal(delivered, EDGE.length);
      for (const [index, cut] of w.messages().entries()) {
        const whole = wellFormed("x".repeat(index) + character.repeat(Math.floor(230 / plain) + 1));
        ok(whole.startsWith(cut), inspect(cut));
        ok(Buffer.byteLength(cut) <= 230);
        ok(cut.length === whole.length || Buffer.byteLength(cut) > 230 - plain, `${Buffer.byteLength(cut)} bytes`);
      }
    });

    check(`truncate leaves JSON with ${name} valid and says how many bytes were cut`, async (w) => {
      const logger = w.logger({ overflow: "truncate", maxEventBytes: 300, fields: { service: "é" } });
      const messages = EDGE.map((extra) => "x".repeat(extra + 1) + character.repeat(400));
      for (const message of messages) logger.warn(message, { n: 1, part: "mine" });
      await logger.flush();
      for (const [index, text] of w.messages().entries()) {
        const { message, truncatedBytes, ...rest } = JSON.parse(text);
        const whole = String(messages[index]);
        assert.deepEqual(rest, { level: "WARN", service: "é", n: 1, part_: "mine" });
        ok(whole.startsWith(message));
        assert.equal(truncatedBytes, Buffer.byteLength(whole) - Buffer.byteLength(message));
        ok(Buffer.byteLength(text) <= 274 && Buffer.byteLength(text) > 260, `${Buffer.byteLength(text)} bytes`);
      }
    });
  }

  check("what fits is not touched by truncate and split", async (w) => {
    for (const overflow of ["truncate", "split"] as const) {
      const logger = w.logger({ overflow, maxEventBytes: 256, logStreamName: overflow });
      const message = "x".repeat(256 - OVERHEAD_BYTES - jsonBytes);
      logger.info(message);
      await logger.flush();
      assert.deepEqual(w.messages(overflow), [`{"level":"INFO","message":"${message}"}`]);
    }
  });

  check("split of JSON gives parts with the same fields and their place", async (w) => {
    w.clock();
    const logger = w.logger({ overflow: "split", maxEventBytes: 256 });
    const message = `start ${'é"😀\n'.repeat(200)} end`;
    logger.error(message, { orderId: 17 });
    logger.error(message, { orderId: 18 });
    const { logged, delivered } = await logger.flush();
    const events = w.service.events(GROUP, STREAM);
    assert.deepEqual([logged, delivered], [events.length, events.length]);
    const parts = events.map((event) => JSON.parse(event.message));
    const ids = new Set<string>();
    for (const orderId of [17, 18]) {
      const mine = parts.filter((part) => part.orderId === orderId);
      assert.equal(mine.map((part) => part.message).join(""), message);
      for (const [index, part] of mine.entries()) {
        assert.deepEqual(Object.keys(part).sort(), ["level", "message", "orderId", "part"]);
        assert.equal(part.level, "ERROR");
        assert.deepEqual(part.part, { id: mine[0].part.id, index, count: mine.length });
      }
      ids.add(mine[0].part.id);
    }
    assert.equal(ids.size, 2);
    assert.deepEqual(new Set(events.map(({ timestamp }) => timestamp)), new Set([NOW]));
  });

  check("split and truncate of JSON keep an Error", async (w) => {
    const error = new Error("x".repeat(3_000));
    error.stack = "Error: short stack";
    for (const overflow of ["truncate", "split"] as const) {
      const logger = w.logger({ overflow, maxEventBytes: 4_000, logStreamName: overflow });
      logger.error(error, { n: 1 });
      await logger.flush();
      const texts = w.messages(overflow);
      for (const text of texts) ok(Buffer.byteLength(text) <= 4_000 - OVERHEAD_BYTES);
      ok(texts.join("").includes("xxx"));
    }
  });

  check("JSON whose fields alone are too large is cut or split as text", async (w) => {
    const fields = { big: "€".repeat(400), n: 1 };
    const whole = JSON.stringify({ level: "INFO", message: "m", ...fields });
    const truncating = w.logger({ overflow: "truncate", maxEventBytes: 256, logStreamName: "truncate" });
    const splitting = w.logger({ overflow: "split", maxEventBytes: 256, logStreamName: "split" });
    truncating.info("m", fields);
    truncating.info(fields);
    splitting.info("m", fields);
    await Promise.all([truncating.flush(), splitting.flush()]);
    const [cut = "", bare = ""] = w.messages("truncate");
    ok(whole.startsWith(cut) && Buffer.byteLength(cut) > 227 && Buffer.byteLength(cut) <= 230, cut);
    ok(JSON.stringify({ level: "INFO", ...fields }).startsWith(bare) && bare.length > 0);
    assert.equal(w.messages("split").join(""), whole);
  });

  check("a 3 MB event is split, in order, at the full size of an event", async (w) => {
    const logger = w.logger({ overflow: "split", format: RAW });
    const message = Array.from({ length: 300_000 }, (_, i) => `line ${i}€`).join("");
    logger.info(message);
    const { delivered, pending } = await logger.flush();
    const parts = w.messages();
    assert.equal(parts.join(""), message);
    assert.deepEqual([delivered, pending], [parts.length, 0]);
    assert.equal(parts.length, Math.ceil(Buffer.byteLength(message) / 1_048_550));
  });

  check("parts enter the queue all or none", async (w) => {
    w.fault = () => ({ kind: "throttle" });
    const options = { format: RAW, overflow: "split", maxEventBytes: 256, maxBatchBytes: 1_000, maxQueueBytes: 1_000 };
    const logger = w.logger(options as CloudwatchLoggerOptions);
    logger.error("x".repeat(230 * 3));
    assert.deepEqual([logger.stats().logged, logger.stats().pending], [3, 3]);
    logger.error("y".repeat(230 + 1));
    const after = logger.stats();
    assert.deepEqual([after.logged, after.pending, after.droppedReasons.queueFull], [5, 3, 2]);
    w.heal();
    await logger.flush();
    assert.equal(w.messages().filter((message) => message.startsWith("x")).length, 3);
    assert.equal(w.messages().filter((message) => message.startsWith("y")).length, 0);
  });

  check("an oversize call under overflow error is counted and costs nothing else", async (w) => {
    const logger = w.logger({ maxEventBytes: 256 });
    logger.info("before");
    const calls = [
      () => logger.fatal("x".repeat(300)),
      () => logger.info({ a: "x".repeat(300) }),
      () => logger.error(new Error("e".repeat(300))),
    ];
    for (const call of calls) assert.throws(call, { name: "RangeError", code: "ERR_OVERSIZE" });
    assert.doesNotThrow(() => logger.debug("x".repeat(300)));
    logger.info("after");
    const after = await logger.close();
    assert.deepEqual(after.droppedReasons, { oversize: 3, queueFull: 0, closed: 0, unsent: 0 });
    assert.deepEqual(w.texts(), ["before", "after"]);
  });

  const text = fc.string({
    unit: fc.oneof(
      fc.constantFrom(...CHARACTERS.map(([, c]) => c), "\ud83d", "x"),
      fc.string({ unit: "binary", maxLength: 1 }),
    ),
    maxLength: 1_500,
  });
  const setting = fc.record({
    text,
    maxEventBytes: fc.integer({ min: 256, max: 900 }),
    format: fc.constantFrom("json" as const, "text" as const, "{timestamp} {n} " as const, RAW),
    fields: fc.constantFrom({}, { n: 1 }, { s: "é\n" }),
  });

  it("parts of a split put together are the original", async () => {
    const { logger, sent } = fakeClientLogger();
    await logger.close();
    await fc.assert(
      fc.asyncProperty(setting, async ({ text, maxEventBytes, format, fields }) => {
        const [whole, parts] = await Promise.all(
          (["error", "split"] as const).map(async (overflow) => {
            const max = overflow === "split" ? maxEventBytes : MAX_BATCH_BYTES;
            const options = { overflow, format, maxEventBytes: max } as CloudwatchLoggerOptions;
            const { logger, sent } = fakeClientLogger(options);
            logger.info(text, fields);
            await logger.close();
            return sent.map(({ message }) => message);
          }),
        );
        ok(whole && parts && whole.length === 1);
        for (const part of parts) ok(Buffer.byteLength(part) + OVERHEAD_BYTES <= maxEventBytes);
        if (parts.length === 1) return assert.equal(stamped(parts[0]), stamped(whole[0]));
        if (format !== "json") return assert.equal(stamped(parts.join("")), stamped(whole[0]));
        const events = parts.map((part) => JSON.parse(part));
        assert.equal(events.map(({ message }) => message).join(""), text);
        for (const [index, { message, part, ...rest }] of events.entries()) {
          assert.deepEqual(rest, { level: "INFO", ...fields });
          assert.deepEqual(part, { id: events[0].part.id, index, count: events.length });
        }
      }),
      { numRuns: 300 },
    );
    assert.equal(sent.length, 0);
  });

  it("a truncated event is the beginning of the original", async () => {
    await fc.assert(
      fc.asyncProperty(setting, async ({ text, maxEventBytes, format, fields }) => {
        const { logger, sent } = fakeClientLogger({ overflow: "truncate", format, maxEventBytes });
        logger.info(text, fields);
        await logger.close();
        const message = String(sent[0]?.message);
        assert.equal(sent.length, 1);
        ok(Buffer.byteLength(message) + OVERHEAD_BYTES <= maxEventBytes);
        assert.equal(message, wellFormed(message));
        if (format === "json") {
          const event = JSON.parse(message);
          ok(text.startsWith(event.message));
          const cut = Buffer.byteLength(text) - Buffer.byteLength(event.message);
          assert.equal(event.truncatedBytes ?? 0, cut);
        } else if (format === RAW) {
          ok((wellFormed(text) || " ").startsWith(message));
        }
      }),
      { numRuns: 300 },
    );
  });
});

// ── 9 · Queue and batch ─────────────────────────────────────────────────────────────────────────────────────────────

describe("batches", () => {
  check("a batch goes when its oldest event has waited flushIntervalMs", async (w) => {
    w.clock();
    const logger = w.logger({ flushIntervalMs: 1_000 });
    logger.info("a");
    w.tick(999);
    await quiet();
    assert.deepEqual(w.puts(), []);
    logger.info("b");
    w.tick(1);
    await until(() => w.messages().length === 2);
    assert.deepEqual(w.texts(), ["a", "b"]);
  });

  for (const [title, options, count] of [
    ["events", { maxBatchEvents: 10 }, 10],
    ["bytes", { maxBatchBytes: 1_000 }, 10],
  ] as const) {
    check(`a batch that is full by ${title} goes without waiting`, async (w) => {
      w.clock();
      const logger = w.logger({ format: RAW, flushIntervalMs: 1_000_000, ...options });
      for (let i = 0; i < count; i++) logger.info(sized(100, i));
      logger.info(sized(100, "next"));
      w.tick(5);
      logger.info(sized(100, "later"));
      await until(() => w.service.storedEvents >= count);
      assert.equal(w.puts()[0]?.answer?.status === 400 ? w.puts()[1]?.events : w.puts()[0]?.events, count);
    });
  }

  check("events exactly fill a batch", async (w) => {
    w.clock();
    const logger = w.logger({ format: RAW });
    for (let i = 0; i < 1_024; i++) logger.info(sized(1_024, i));
    w.tick(1);
    for (let i = 0; i < 1_025; i++) logger.info(sized(1_024, i));
    await logger.flush();
    assert.deepEqual(w.delivered("batchBytes"), [MAX_BATCH_BYTES, MAX_BATCH_BYTES, 1_024]);
  });

  check("a batch spans less than 24 hours", async (w) => {
    const at = clockOnly(w);
    const logger = w.logger({ format: RAW });
    const times = [-48, -24.0001, -24, -23.9, -0.0001, 0, 0.5].map((hours) => NOW + Math.round(hours * HOUR_MS));
    for (const time of times) {
      at(time);
      logger.info(`at ${time}`);
    }
    await logger.flush();
    assert.deepEqual(
      w.service.events(GROUP, STREAM).map(({ timestamp }) => timestamp),
      times,
    );
    for (const { input } of w.puts()) {
      const span = input.logEvents.at(-1).timestamp - input.logEvents[0].timestamp;
      ok(span < 24 * HOUR_MS, `${span} ms`);
    }
  });

  check("a clock that steps back leaves batches chronological and equal times in order", async (w) => {
    const at = clockOnly(w);
    const logger = w.logger({ format: RAW, maxBatchEvents: 5 });
    const steps = [0, 0, 5, 3, 3, 5, -4_000, -4_000, 0, 1, -30 * HOUR_MS, -30 * HOUR_MS, 2, 2, 0];
    for (const [index, step] of steps.entries()) {
      at(NOW + step);
      logger.info(String(index));
    }
    await logger.flush();
    const expected = steps.map((step, index) => ({ step, index })).sort((a, b) => a.step - b.step || a.index - b.index);
    assert.deepEqual(
      w.messages(),
      expected.map(({ index }) => String(index)),
    );
  });

  check("events of one millisecond travel in one batch", async (w) => {
    w.clock();
    const logger = w.logger({ format: RAW, maxBatchEvents: 10 });
    const logged: string[] = [];
    for (let ms = 0; ms < 60; ms++) {
      for (let i = 0; i < (ms * 7) % 10; i++) {
        logger.info(`${ms}/${i}`);
        logged.push(`${ms}/${i}`);
      }
      w.tick(1);
    }
    await logger.flush();
    assert.deepEqual(w.messages(), logged);
    const batchesOf = new Map<number, number>();
    for (const { input } of w.delivering()) {
      for (const timestamp of new Set<number>(input.logEvents.map((event: LogEvent) => event.timestamp))) {
        batchesOf.set(timestamp, (batchesOf.get(timestamp) ?? 0) + 1);
      }
    }
    assert.deepEqual(new Set(batchesOf.values()), new Set([1]));
  });

  for (const maxInFlight of [1, 2, 4, 16]) {
    check(`full batches fly in parallel, ${maxInFlight} at once`, async (w) => {
      w.clock();
      w.service.createLogStream(GROUP, STREAM);
      const logger = w.logger({ format: RAW, maxBatchEvents: 2, maxInFlight });
      w.fault = () => ({ kind: "hang", stored: true });
      for (let i = 0; i < 60; i++) {
        logger.info(String(i));
        logger.info(String(i));
        w.tick(1);
      }
      const flushed = logger.flush(Infinity);
      await until(() => w.puts().length === maxInFlight);
      await quiet();
      assert.equal(w.puts().length, maxInFlight);
      assert.equal(logger.stats().pending, 120);
      w.heal();
      await w.drive(flushed, 1_000);
    });
  }

  check("only full batches fly beside others", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = () => ({ kind: "hang", stored: false });
    const logger = w.logger({ flushIntervalMs: 100 });
    for (let i = 0; i < 20; i++) {
      logger.info(`${i}`);
      w.tick(100);
      await quiet(3);
    }
    assert.equal(w.puts().length, 1);
    w.heal();
    await w.drive(logger.flush(Infinity), 1_000);
    assert.equal(w.messages().length, 20);
  });

  for (const maxInFlight of [1, 4, 16]) {
    check(`order is kept with maxInFlight ${maxInFlight}, delays and faults`, async (w) => {
      w.clock();
      w.service.createLogStream(GROUP, STREAM);
      const flights = watchFlights(w, (index) => {
        if (index % 7 === 3) return { kind: "throttle" };
        return index % 5 === 4
          ? { kind: "error", name: "InternalFailure", status: 500 }
          : { kind: "delay", ms: (index * 13) % 23 };
      });
      const logger = w.logger({ format: RAW, maxBatchEvents: 8, maxInFlight });
      const logged: string[] = [];
      for (let i = 0; i < 400; i++) {
        logger.info(String(i));
        logged.push(String(i));
        if ((i * 31) % 11 < 2) w.tick(1);
      }
      await w.drive(logger.flush(Infinity), 2_000);
      assert.deepEqual(w.messages(), logged);
      assert.deepEqual(flights.overlaps, []);
      ok(maxInFlight === 1 ? flights.most === 1 : flights.most > 1, `${flights.most} at once`);
    });
  }

  check("a millisecond that overfills a batch goes in sequence", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    const flights = watchFlights(w, (index) => ({ kind: "delay", ms: 10 - index }));
    const logger = w.logger({ format: RAW, maxBatchEvents: 10 });
    logger.info("first");
    w.tick(1);
    const burst = Array.from({ length: 45 }, (_, i) => String(i));
    for (const text of burst) logger.info(text);
    w.tick(1);
    logger.info("last");
    await w.drive(logger.flush(Infinity));
    assert.deepEqual(w.messages(), ["first", ...burst, "last"]);
    assert.deepEqual(flights.overlaps, []);
    for (const { events } of w.puts()) ok(Number(events) <= 10);
  });

  check("no request ever breaks a limit, whatever is logged", async (w) => {
    const at = clockOnly(w);
    let stream = 0;
    const event = fc.record({
      text: fc.string({ unit: fc.constantFrom("a", "€", "😀", '"', "\n", "\ud800"), maxLength: 40 }),
      times: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 600 })),
      stepMs: fc.constantFrom(0, 0, 0, 1, 7, -3, 1_000, 11 * HOUR_MS, 25 * HOUR_MS, -26 * HOUR_MS),
      level: fc.constantFrom(...LEVEL_NAMES),
    });
    const options = fc.record({
      maxBatchBytes: fc.constantFrom(256, 700, 5_000, MAX_BATCH_BYTES),
      maxBatchEvents: fc.constantFrom(1, 2, 50, 10_000),
      maxInFlight: fc.integer({ min: 1, max: 16 }),
      overflow: fc.constantFrom("split" as const, "truncate" as const),
      format: fc.constantFrom("json" as const, "text" as const, RAW),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 25 }), options, async (events, options) => {
        let time = NOW - 5 * 24 * HOUR_MS;
        at(time);
        const logStreamName = `s${stream++}`;
        const logger = w.logger({ ...options, logStreamName, level: "trace" });
        const expected: { timestamp: number; key: string }[] = [];
        for (const [index, { text, times, stepMs, level }] of events.entries()) {
          time = Math.min(time + stepMs, NOW);
          at(time);
          for (let i = 0; i < times; i++) {
            logger[level](`#${index}.${i}# ${text}`);
            expected.push({ timestamp: time, key: `#${index}.${i}#` });
          }
        }
        const { delivered, logged, pending } = await logger.flush();
        assert.deepEqual(w.service.violations, []);
        assert.deepEqual([delivered, pending], [logged, 0]);
        const stored = w.service.events(GROUP, logStreamName);
        const seen = stored.flatMap(({ timestamp, message }) => {
          const key = /#\d+\.\d+#/.exec(message)?.[0];
          return key === undefined ? [] : [{ timestamp, key }];
        });
        const keys = seen.map(({ key }) => key);
        const first = seen.filter(({ key }, index) => keys.indexOf(key) === index);
        assert.deepEqual(
          first,
          expected.sort((a, b) => a.timestamp - b.timestamp),
        );
        await logger.close();
        w.service.deleteLogStream(GROUP, logStreamName);
        w.service.requests.length = 0;
      }),
      { numRuns: 40 },
    );
  });
});

describe("queue", () => {
  /** A queue of 100 events of 100 bytes, before a service that takes none. */
  const blocked = (w: World, options: CloudwatchLoggerOptions = {}) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = () => ({ kind: "throttle" });
    return w.logger({ format: RAW, maxQueueBytes: 10_000, maxBatchBytes: 1_000, ...options });
  };
  const fill = (logger: CloudwatchLogger, level: Level, count: number, tag: string) => {
    for (let i = 0; i < count; i++) logger[level](sized(100, `${tag}${i}`));
  };

  check("info is taken up to 80 %, warn and worse up to 100 %", async (w) => {
    const logger = blocked(w);
    fill(logger, "info", 79, "a");
    assert.equal(logger.stats().pending, 79);
    logger.info(sized(101, "one byte too many"));
    assert.equal(logger.stats().droppedReasons.queueFull, 1);
    fill(logger, "info", 3, "b");
    assert.deepEqual([logger.stats().pending, logger.stats().droppedReasons.queueFull], [80, 3]);
    fill(logger, "warn", 10, "c");
    fill(logger, "error", 5, "d");
    fill(logger, "info", 4, "e");
    fill(logger, "fatal", 4, "f");
    assert.deepEqual([logger.stats().pending, logger.stats().droppedReasons.queueFull], [99, 7]);
    logger.fatal(sized(101, "one byte too many"));
    fill(logger, "fatal", 3, "g");
    assert.deepEqual([logger.stats().pending, logger.stats().droppedReasons.queueFull], [100, 10]);
    // In flight counts as well.
    await until(() => w.puts().length > 0);
    fill(logger, "error", 1, "h");
    assert.equal(logger.stats().droppedReasons.queueFull, 11);
    w.heal();
    await w.drive(logger.flush(Infinity));
    const accepted = [...tags("a", 79), "b0", ...tags("c", 10), ...tags("d", 5), ...tags("f", 4), "g0"];
    assert.deepEqual(w.messages().slice(0, 100).map(tagOf), accepted);
  });

  check("nothing accepted is evicted by what comes later", async (w) => {
    const logger = blocked(w);
    fill(logger, "trace", 1, "filtered");
    fill(logger, "info", 80, "a");
    fill(logger, "fatal", 500, "b");
    w.heal();
    await w.drive(logger.flush(Infinity));
    assert.deepEqual(
      w
        .messages()
        .filter((text) => !text.includes("drop"))
        .map(tagOf),
      [...tags("a", 80), ...tags("b", 20)],
    );
  });

  check("a gap is told in the stream with exact counts and times", async (w) => {
    const logger = blocked(w, { format: "json" });
    const before = () => logger.stats().droppedReasons.queueFull;
    while (before() === 0) logger.info("x".repeat(60));
    w.tick(500);
    for (let i = 0; i < 41; i++) logger.info("x".repeat(60));
    w.tick(250);
    w.heal();
    const after = await w.drive(logger.flush(Infinity));
    assert.equal(after.droppedReasons.queueFull, 42);
    assert.deepEqual([after.pending, after.delivered], [0, after.logged - 42]);
    const notices = w.parsed().filter(({ level }) => level === "WARN");
    assert.equal(notices.length, 1);
    const text = JSON.stringify(notices[0]);
    assert.match(text, /\b42\b/);
    assert.match(text, /queue/i);
    assert.match(text, /2026-01-31T12:00:00\.000Z|1769860800000/);
    assert.match(text, /2026-01-31T12:00:00\.500Z|1769860800500/);
  });

  check("every gap has a notice, together they tell all drops", async (w) => {
    const logger = blocked(w);
    let told = 0;
    for (const extra of [5, 17, 1]) {
      w.fault = () => ({ kind: "throttle" });
      fill(logger, "info", 80 + extra, `${extra}-`);
      w.heal();
      await w.drive(logger.flush(Infinity));
      const notice = String(w.messages().findLast((text) => /drop/i.test(text)));
      assert.match(notice, new RegExp(`\\b${extra}\\b`));
      told += extra;
      w.tick(10);
    }
    const after = logger.stats();
    assert.equal(after.droppedReasons.queueFull, told);
    assert.deepEqual([after.delivered, after.pending], [240 + 3, 0]);
  });

  check("a gap is told when there is room again, without another call", async (w) => {
    const logger = blocked(w, { flushIntervalMs: 100 });
    fill(logger, "info", 90, "a");
    w.heal();
    for (let i = 0; i < 100 && w.messages().length < 81; i++) {
      w.tick(1_000);
      await quiet();
    }
    assert.equal(w.messages().length, 81);
    assert.match(String(w.messages().at(-1)), /\b10\b/);
  });

  check("onLoss hears of a full queue once a second, with exact count and times", async (w) => {
    const logger = blocked(w);
    fill(logger, "info", 80, "a");
    fill(logger, "info", 1_000, "b");
    w.tick(300);
    fill(logger, "debug", 5, "filtered");
    fill(logger, "info", 7, "c");
    w.tick(700);
    const first = { reason: "queueFull", count: 1_007, events: [], from: NOW, to: NOW + 300 };
    assert.deepEqual(w.losses, [first]);
    fill(logger, "info", 2, "d");
    w.tick(1);
    fill(logger, "info", 1, "e");
    assert.equal(w.losses.length, 1);
    w.heal();
    await w.drive(logger.flush(Infinity));
    assert.deepEqual(w.losses, [
      first,
      { reason: "queueFull", count: 3, events: [], from: NOW + 1_000, to: NOW + 1_001 },
    ]);
  });
});

// ── 10 · Sender ─────────────────────────────────────────────────────────────────────────────────────────────────────

describe("creating what is missing", () => {
  const attributes = {
    retentionInDays: 30,
    tags: { team: "shop" },
    kmsKeyId: "arn:aws:kms:us-east-1:123456789012:key/k",
    logGroupClass: "INFREQUENT_ACCESS" as const,
  };

  check("put first, then stream, group, stream; attributes on the group it created", async (w) => {
    const logger = w.logger(attributes);
    logger.info("a");
    const { requests } = await logger.flush();
    assert.deepEqual(
      w.actions().filter((action) => action !== "PutRetentionPolicy"),
      ["PutLogEvents", "CreateLogStream", "CreateLogGroup", "CreateLogStream", "PutLogEvents"],
    );
    assert.equal(requests, 2);
    await until(() => w.service.logGroups()[0]?.retentionInDays === 30);
    const [{ logGroupName, logStreams, creationTime, ...rest } = assert.fail("no group")] = w.service.logGroups();
    assert.deepEqual(
      { logGroupName, logStreams, ...rest },
      { logGroupName: GROUP, logStreams: [STREAM], ...attributes },
    );
    ok(creationTime > 0);
  });

  check("an existing group keeps its attributes", async (w) => {
    w.service.createLogGroup(GROUP, { retentionInDays: 7 });
    const logger = w.logger(attributes);
    logger.info("a");
    await logger.close();
    assert.deepEqual(w.actions(), ["PutLogEvents", "CreateLogStream", "PutLogEvents"]);
    const [group] = w.service.logGroups();
    assert.deepEqual([group?.retentionInDays, group?.tags], [7, {}]);
  });

  check("a group that another process creates meanwhile keeps its attributes", async (w) => {
    w.fault = once("CreateLogGroup", {
      kind: "error",
      name: "ResourceAlreadyExistsException",
      stored: true,
    });
    const logger = w.logger({ retentionInDays: 30 });
    logger.info("a");
    await logger.close();
    assert.equal(w.service.counts.PutRetentionPolicy, 0);
    assert.deepEqual(w.texts(), ["a"]);
  });

  check("an existing stream is put to and nothing is created", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    const logger = w.logger(attributes);
    logger.info("a");
    await logger.flush();
    assert.deepEqual(w.actions(), ["PutLogEvents"]);
  });

  for (const what of ["deleteLogStream", "deleteLogGroup"] as const) {
    check(`${what} at run time: it is created again`, async (w) => {
      const logger = w.logger();
      logger.info("before");
      await logger.flush();
      w.service[what](GROUP, STREAM);
      logger.info("after");
      const { delivered, pending } = await logger.flush();
      assert.deepEqual([delivered, pending], [2, 0]);
      assert.deepEqual(w.texts(), ["after"]);
      w.fault = once("PutLogEvents", { kind: what });
      logger.info("again");
      await logger.flush();
      assert.deepEqual(w.texts().at(-1), "again");
    });
  }

  check("several batches that miss the stream create it once", async (w) => {
    w.clock();
    const logger = w.logger({ format: RAW, maxBatchEvents: 1 });
    for (let i = 0; i < 12; i++) {
      logger.info(String(i));
      w.tick(1);
    }
    await w.drive(logger.flush(Infinity));
    assert.equal(w.messages().length, 12);
    assert.equal(w.service.counts.CreateLogGroup, 1);
    ok(w.service.counts.CreateLogStream <= 3, `${w.service.counts.CreateLogStream} creations`);
  });

  check("createLogGroup: false waits for the group and is told once", async (w) => {
    w.clock();
    const logger = w.logger({ createLogGroup: false, flushIntervalMs: 1_000 });
    logger.info("patient");
    await w.pass(90_000, 2_000);
    assert.equal(w.service.counts.CreateLogGroup, 0);
    assert.deepEqual([logger.stats().pending, w.errors.length], [1, 1]);
    assert.match(String(w.errors[0]?.message), /log group/i);
    w.service.createLogGroup(GROUP);
    await w.pass(31_000, 2_000);
    assert.deepEqual(w.texts(), ["patient"]);
  });

  check("the least policy is PutLogEvents", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    w.service.options.allowedActions = ["logs:PutLogEvents"];
    const logger = w.logger(attributes);
    logger.info("a");
    assert.equal((await logger.close()).delivered, 1);
    assert.deepEqual(w.errors, []);
  });

  check("refused tags are reported and do not hold up delivery", async (w) => {
    w.service.options.allowedActions = ["logs:PutLogEvents", "logs:CreateLog*", "logs:PutRetentionPolicy"];
    const logger = w.logger({ tags: { team: "shop" } });
    logger.info("a");
    assert.equal((await logger.flush(5_000)).delivered, 1);
    assert.equal(w.errors.length, 1);
    assert.match(inspect(w.errors[0]), /TagResource/);
  });

  check("a refused retention policy is reported and does not hold up delivery", async (w) => {
    w.service.options.allowedActions = ["logs:PutLogEvents", "logs:CreateLog*"];
    const logger = w.logger({ retentionInDays: 7 });
    for (const text of ["a", "b"]) {
      logger.info(text);
      await logger.flush(5_000);
    }
    assert.deepEqual(w.texts(), ["a", "b"]);
    assert.equal(w.errors.length, 1);
    assert.match(inspect(w.errors[0]), /PutRetentionPolicy/);
  });

  check("a throttled retention policy is set in the end", async (w) => {
    w.clock();
    let refusals = 4;
    w.fault = ({ action }) => (action === "PutRetentionPolicy" && refusals-- > 0 ? { kind: "throttle" } : undefined);
    const logger = w.logger({ retentionInDays: 7 });
    logger.info("a");
    await w.drive(logger.flush(Infinity));
    await w.pass(60_000, 2_000);
    assert.equal(w.service.logGroups()[0]?.retentionInDays, 7);
  });

  check("trouble while creating does not use up the event", async (w) => {
    w.clock();
    const faults: LocalFault[] = [
      { kind: "throttle" },
      { kind: "error", name: "OperationAbortedException" },
      { kind: "error", name: "ServiceUnavailableException", status: 503 },
      { kind: "error", name: "LimitExceededException" },
      { kind: "reset", stored: true },
      { kind: "html" },
    ];
    w.fault = ({ action }) => (action.startsWith("Create") ? faults.shift() : undefined);
    const logger = w.logger({ logStreamName: undefined });
    logger.info("a");
    await w.drive(logger.flush(Infinity), 5_000);
    assert.deepEqual(w.texts(), ["a"]);
    assert.deepEqual(w.service.logStreams(GROUP).includes(logger.logStreamName), true);
    assert.equal(logger.stats().retries, logger.stats().requests - 1);
  });
});

describe("transient trouble", () => {
  const error = (name: string, status = 400): LocalFault => ({ kind: "error", name, status });
  const faults: [title: string, fault: LocalFault][] = [
    ["ThrottlingException", { kind: "throttle" }],
    ["TooManyRequestsException", error("TooManyRequestsException", 429)],
    ["RequestLimitExceeded", error("RequestLimitExceeded")],
    ["HTTP 429 without a name", { kind: "status", status: 429 }],
    ["ServiceUnavailableException", error("ServiceUnavailableException", 503)],
    ["InternalFailure", error("InternalFailure", 500)],
    ["RequestTimeout", error("RequestTimeout", 408)],
    ["OperationAbortedException", error("OperationAbortedException")],
    ["HTTP 500 with nothing", { kind: "status", status: 500 }],
    ["HTTP 502 with text", { kind: "status", status: 502, body: "Bad Gateway" }],
    ["HTTP 504 with half a JSON", { kind: "status", status: 504, body: '{"__type":' }],
    ["an HTML page with 503", { kind: "html" }],
    ["an HTML page with 200", { kind: "html", status: 200 }],
    ["an empty 200", { kind: "empty" }],
    ["an empty object with 200", { kind: "empty", body: "{}" }],
    ["a reset", { kind: "reset", stored: false }],
  ];
  for (const [title, fault] of faults) {
    check(`${title}: the batch is sent again`, async (w) => {
      w.clock();
      w.service.createLogStream(GROUP, STREAM);
      w.fault = once("PutLogEvents", fault);
      const logger = w.logger();
      logger.info("a");
      logger.info("b");
      const after = await w.drive(logger.flush(Infinity));
      assert.deepEqual(counts(after), stats({ logged: 2, delivered: 2, requests: 2, retries: 1 }));
      assert.deepEqual(w.texts(), ["a", "b"]);
      assert.deepEqual(w.losses, []);
    });
  }

  check("a reset after storing may store twice, never not at all", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = once("PutLogEvents", { kind: "reset", stored: true });
    const logger = w.logger();
    logger.info("a");
    assert.equal((await w.drive(logger.flush(Infinity))).delivered, 1);
    assert.deepEqual(w.texts(), ["a", "a"]);
  });

  check("a request without an answer is given up after 30 s", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = once("PutLogEvents", { kind: "hang" });
    const logger = w.logger();
    logger.fatal("a");
    await until(() => w.puts().length === 1);
    await quiet();
    w.tick(29_000);
    await quiet();
    assert.equal(w.puts().length, 1);
    w.tick(1_000);
    await quiet();
    w.tick(100);
    await until(() => w.messages().length === 1);
    assert.deepEqual(w.losses, []);
  });

  check("backoff grows from 100 ms to 10 s, full jitter beneath", async (w) => {
    const logger = await refused(w, 0.999_999, error("InternalFailure", 500));
    await retriesAfter(w, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000]);
    await w.settled();
    w.t.mock.method(Math, "random", () => 0.5);
    await retriesAfter(w, [10_000, 5_000, 5_000]);
    w.heal();
    await w.drive(logger.close(Infinity));
  });

  check("flush() and close() wake a waiting retry once", async (w) => {
    const logger = await refused(w, 0.999_999, error("InternalFailure", 500));
    for (const call of ["flush", "flush", "close"] as const) {
      const before = w.puts().length;
      void logger[call](Infinity);
      await until(() => w.puts().length > before);
      await w.settled();
      assert.equal(w.puts().length, before + 1);
    }
    w.heal();
    await w.drive(logger.close(Infinity));
  });

  /** A logger whose first request has met a fault, as all others will; and chance that always says the same. */
  async function refused(w: World, chance: number, fault: LocalFault, options: CloudwatchLoggerOptions = {}) {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = () => fault;
    w.t.mock.method(Math, "random", () => chance);
    const logger = w.logger(options);
    logger.fatal("a");
    await until(() => w.puts()[0]?.answer);
    return logger;
  }

  /** Each pause is so long, and not shorter. */
  async function retriesAfter(w: World, pausesMs: number[]): Promise<void> {
    for (const ms of pausesMs) {
      const { length } = w.puts();
      await w.settled();
      w.tick(ms - 1);
      await w.settled();
      assert.equal(w.puts().length, length, `not before ${ms} ms`);
      w.tick(1);
      await until(() => w.puts().length === length + 1 && w.puts().at(-1)?.answer, `a retry after ${ms} ms`);
    }
  }

  /** The pace of a logger with a `flushIntervalMs` of 1,024: half as much again for each throttled answer, to 30 s. */
  const PACE_MS = [1_024, 1_536, 2_304, 3_456, 5_184, 7_776, 11_664, 17_496, 26_244, 30_000, 30_000];

  for (const [chance, share] of [
    [0, 0.5],
    [0.5, 1],
    [1 - 2 ** -53, 1.5],
  ] as const) {
    check(`throttled: ${share} times the pace, from flushIntervalMs to 30 s`, async (w) => {
      const logger = await refused(w, chance, { kind: "throttle" }, { flushIntervalMs: 1_024 });
      await retriesAfter(
        w,
        PACE_MS.map((ms) => ms * share),
      );
      w.heal();
      await w.drive(logger.close(Infinity));
      assert.deepEqual(w.losses, []);
    });
  }

  check("throttled: a flushIntervalMs above 30 s counts as 30 s", async (w) => {
    const logger = await refused(w, 0.5, { kind: "throttle" });
    await retriesAfter(w, [30_000, 30_000]);
    w.heal();
    await w.drive(logger.close(Infinity));
  });

  for (const [chance, pauseMs] of [
    [0, 300],
    [0.5, 450],
    [1 - 2 ** -53, 600],
  ] as const) {
    check(`throttled: flush() and close() shorten the pause to ${pauseMs} ms by chance`, async (w) => {
      const logger = await refused(w, chance, { kind: "throttle" }, { flushIntervalMs: 1_024 });
      await retriesAfter(
        w,
        PACE_MS.slice(0, 6).map((ms) => ms * (0.5 + chance)),
      );
      await w.settled();
      // The pause that is under way, and those after it.
      const flushing = tracked(logger.flush(Infinity));
      await retriesAfter(w, [pauseMs, pauseMs, pauseMs]);
      await w.settled();
      assert.equal(flushing(), undefined);
      // Both wait for the same try.
      w.tick(pauseMs - 1);
      const closing = tracked(logger.close(Infinity));
      await retriesAfter(w, [1, pauseMs]);
      await w.settled();
      w.heal();
      await retriesAfter(w, [pauseMs]);
      await until(closing);
      assert.deepEqual([flushing()?.delivered, closing()?.delivered], [1, 1]);
    });
  }

  check("throttled: flush() again and again does not put the retry off", async (w) => {
    const logger = await refused(w, 0.5, { kind: "throttle" });
    await w.settled();
    for (let n = 0; n < 5; n++) {
      void logger.flush(Infinity);
      await w.settled();
      w.tick(100);
      await w.settled();
    }
    assert.equal(w.puts().length, 2);
    w.heal();
    await w.drive(logger.close(Infinity));
  });

  check("throttled: a pause that is shorter anyway stays while flush() waits", async (w) => {
    const logger = await refused(w, 0.5, { kind: "throttle" }, { flushIntervalMs: 100 });
    void logger.flush(Infinity);
    await retriesAfter(w, [100, 150, 225, 337.5, 450, 450]);
    w.heal();
    await w.drive(logger.close(Infinity));
  });

  check("throttled: within a minute of the last time flushIntervalMs holds again", async (w) => {
    const logger = await refused(w, 0.5, { kind: "throttle" }, { flushIntervalMs: 1_024 });
    for (const text of ["b", "c"]) {
      await retriesAfter(w, PACE_MS.slice(0, 8));
      await w.settled();
      const throttledAt = Date.now();
      w.heal();
      await w.pass(60_000 - (Date.now() - throttledAt), 1_000);
      assert.equal(logger.stats().pending, 0);
      logger.info(text);
      w.tick(1_023);
      await w.settled();
      assert.equal(logger.stats().pending, 1);
      w.tick(1);
      await until(() => logger.stats().pending === 0);
      w.fault = () => ({ kind: "throttle" });
      logger.fatal("again");
      await until(() => w.puts().at(-1)?.answer?.status === 400);
    }
    w.heal();
    await w.drive(logger.close(Infinity));
    assert.deepEqual(w.texts(), ["a", "b", "again", "c", "again"]);
  });

  check("throttled: what is logged meanwhile goes in the same request, within 30 s", async (w) => {
    const logger = await refused(w, 0.5, { kind: "throttle" }, { flushIntervalMs: 1_024 });
    for (const n of range(40)) {
      logger.info(`${n}`);
      await w.pass(1_000, 500);
    }
    ok(w.puts().length <= 8, `${w.puts().length} requests in 40 s`);
    w.heal();
    await w.pass(30_000, 1_000);
    assert.deepEqual(w.texts(), ["a", ...range(40).map(String)]);
    assert.equal(w.delivering().length, 1);
  });

  check("the account's throttling slows down and loses nothing", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    w.service.options.quota = { PutLogEvents: 25 };
    const logger = w.logger({ format: RAW, maxBatchEvents: 4 });
    for (let i = 0; i < 120; i++) logger.info(String(i));
    const { delivered } = await logger.flush();
    assert.equal(delivered, 120);
    assert.deepEqual(
      w.messages(),
      Array.from({ length: 120 }, (_, i) => String(i)),
    );
  });

  check("one throttled request does not hold up close() afterwards", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    const logger = w.logger({ format: RAW, maxBatchEvents: 1 });
    logger.info("warm");
    await w.drive(logger.flush(Infinity));
    w.tick(60_000);
    w.fault = once("PutLogEvents", { kind: "throttle" });
    for (const text of ["a", "b", "c", "d"]) {
      logger.info(text);
      w.tick(1);
    }
    await w.drive(logger.close(Infinity));
    assert.deepEqual(w.messages(), ["warm", "a", "b", "c", "d"]);
  });

  check("a long outage is told once and loses nothing", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = () => ({ kind: "html" });
    const logger = w.logger({ flushIntervalMs: 1_000 });
    for (let i = 0; i < 60; i++) {
      logger.info(String(i));
      await w.pass(2_000, 1_000);
    }
    assert.equal(w.errors.length, 1);
    ok(w.puts().length < 40, `${w.puts().length} requests in 2 minutes`);
    w.heal();
    const { delivered } = await w.drive(logger.flush(Infinity));
    assert.equal(delivered, 60);
    assert.deepEqual(
      w.texts(),
      Array.from({ length: 60 }, (_, i) => String(i)),
    );
  });
});

describe("configuration trouble", () => {
  const names = [
    ["AccessDeniedException", 400],
    ["UnrecognizedClientException", 400],
    ["InvalidSignatureException", 400],
    ["SignatureDoesNotMatch", 403],
    ["ExpiredTokenException", 400],
    ["InvalidClientTokenId", 403],
    ["UnknownOperationException", 404],
    ["SomethingNewException", 400],
  ] as const;
  for (const [name, status] of names) {
    check(`${name}: events wait, retry every 30 s, one onError`, async (w) => {
      w.clock();
      w.service.createLogStream(GROUP, STREAM);
      const message = `The token battery-staple is not welcome\n'x-amz-security-token:battery-staple'`;
      w.fault = () => ({ kind: "error", name, status, message });
      const logger = w.logger({ flushIntervalMs: 1_000 });
      logger.info("patient");
      await w.pass(5 * 60_000, 5_000);
      assert.deepEqual([logger.stats().pending, w.errors.length, w.losses.length], [1, 1, 0]);
      assert.match(inspect(w.errors[0]), new RegExp(name));
      assert.doesNotMatch(inspect(w.errors[0], { depth: 10, showHidden: true }), /battery-staple|correct-horse/);
      const tries = w.puts().length;
      ok(tries >= 10 && tries < 60, `${tries} tries in five minutes`);
      w.heal();
      await w.pass(31_000, 2_000);
      assert.deepEqual(w.texts(), ["patient"]);
    });
  }

  check("one onError for each change", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    const logger = w.logger({ flushIntervalMs: 100 });
    for (const name of ["AccessDeniedException", "ExpiredTokenException", "AccessDeniedException"]) {
      w.fault = () => ({ kind: "error", name });
      logger.info("x");
      await w.pass(100_000, 5_000);
    }
    assert.deepEqual(
      w.errors.map((error) => /AccessDenied|ExpiredToken/.exec(inspect(error))?.[0]),
      ["AccessDenied", "ExpiredToken", "AccessDenied"],
    );
    w.heal();
    await w.drive(logger.flush(Infinity));
    w.fault = () => ({ kind: "error", name: "AccessDeniedException" });
    logger.info("after the recovery");
    await w.pass(35_000, 5_000);
    assert.equal(w.errors.length, 4);
    w.heal();
    await w.drive(logger.flush(Infinity));
    assert.equal(w.messages().length, 4);
  });

  check("a repaired policy is found out", async (w) => {
    w.clock();
    w.service.options.allowedActions = [];
    const logger = w.logger({ flushIntervalMs: 1_000 });
    logger.info("a");
    for (const allowed of ["logs:PutLogEvents", "logs:CreateLogStream", "logs:CreateLogGroup"]) {
      await w.pass(60_000, 5_000);
      assert.equal(logger.stats().pending, 1);
      w.service.options.allowedActions.push(allowed);
    }
    await w.pass(31_000, 2_000);
    assert.equal(logger.stats().delivered, 1);
    assert.deepEqual(w.losses, []);
  });
});

describe("configuration trouble at the end", () => {
  check("close() does not wait for what waiting cannot mend", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = () => ({ kind: "error", name: "AccessDeniedException" });
    const logger = w.logger();
    for (const text of ["a", "b"]) logger.info(text);
    logger.fatal("c");
    await until(() => w.puts()[0]?.answer);
    await w.settled();
    const closing = tracked(logger.close());
    await until(closing);
    // One more try, as things may have changed since the last one.
    assert.deepEqual([w.puts().length, closing()?.droppedReasons.unsent], [2, 3]);
    assert.deepEqual(
      w.losses.map(({ reason, count, cause }) => [reason, count, cause?.name]),
      [["unsent", 3, "AccessDeniedException"]],
    );
  });

  check("close() delivers where the trouble has been mended since", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = once("PutLogEvents", { kind: "error", name: "AccessDeniedException" });
    const logger = w.logger();
    logger.fatal("a");
    await until(() => w.puts()[0]?.answer);
    await w.settled();
    const closing = tracked(logger.close());
    await until(closing);
    assert.deepEqual([closing()?.delivered, w.losses], [1, []]);
  });

  check("a try that began before close() does not count", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.service.options.delayMs = 50;
    w.fault = once("PutLogEvents", { kind: "error", name: "AccessDeniedException" });
    const logger = w.logger();
    logger.fatal("a");
    await until(() => w.puts().length === 1);
    const closing = tracked(logger.close());
    await until(closing);
    assert.deepEqual([closing()?.delivered, w.losses], [1, []]);
  });

  check("close() waits for other trouble, and for a log group that is missing does not", async (w) => {
    w.clock();
    w.t.mock.method(Math, "random", () => 0.1);
    const logger = w.logger({ createLogGroup: false });
    logger.info("a");
    const closing = tracked(logger.close());
    await until(closing);
    assert.equal(closing()?.droppedReasons.unsent, 1);
    w.service.createLogStream(GROUP, STREAM);
    for (const fault of [
      { kind: "throttle" },
      { kind: "html" },
      { kind: "reset", stored: false },
    ] satisfies LocalFault[]) {
      w.fault = () => fault;
      const patient = w.logger();
      patient.info(fault.kind);
      const waiting = tracked(patient.close());
      await w.pass(6_000, 1_000);
      assert.equal(waiting(), undefined);
      w.heal();
      await w.pass(1_500, 500);
      assert.equal(waiting()?.delivered, 1);
    }
  });

  check("flush() goes on waiting", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = () => ({ kind: "error", name: "AccessDeniedException" });
    const logger = w.logger();
    logger.info("a");
    const flushing = tracked(logger.flush(100_000));
    await w.pass(60_000, 5_000);
    assert.equal(flushing(), undefined);
    w.heal();
    await w.pass(31_000, 1_000);
    assert.equal(flushing()?.delivered, 1);
  });
});

describe("bad events", () => {
  for (const bad of [[0], [63], [31], [7, 8], [0, 63], [10, 30, 50], [5, 6, 7, 60]]) {
    check(`${bad.length} bad of 64 (${bad}) cost no neighbour and few requests`, async (w) => {
      w.clock();
      w.service.createLogStream(GROUP, STREAM);
      const isBad = (message: string) => bad.includes(Number(message));
      w.service.options.poison = isBad;
      const logger = w.logger({ format: RAW });
      for (let i = 0; i < 64; i++) {
        logger.info(String(i));
        if (i % 5 === 0) w.tick(1);
      }
      const after = await w.drive(logger.flush(Infinity));
      const all = Array.from({ length: 64 }, (_, i) => String(i));
      assert.deepEqual(
        w.messages(),
        all.filter((text) => !isBad(text)),
      );
      assert.equal(after.rejectedReasons.invalid, bad.length);
      assert.deepEqual(
        w.losses.flatMap(({ reason, events, cause }) =>
          events.map(({ message }) => [reason, message, cause instanceof Error]),
        ),
        bad.map((index) => ["invalid", String(index), true]),
      );
      ok(after.requests <= 1 + 2 * bad.length * 6, `${after.requests} requests`);
    });
  }

  for (const [name, status] of [
    ["InvalidParameterException", 400],
    ["ValidationException", 400],
    ["SerializationException", 400],
    ["RequestEntityTooLargeException", 413],
    ["PayloadTooLarge", 413],
  ] as const) {
    check(`${name} (${status}) is halved too, the halves one after the other`, async (w) => {
      w.clock();
      w.service.createLogStream(GROUP, STREAM);
      const flights = watchFlights(w, (_, request) =>
        request.input.logEvents.some(({ message }: LogEvent) => message === "3")
          ? { kind: "error", name, status }
          : { kind: "delay", ms: 5 },
      );
      const logger = w.logger({ format: RAW });
      for (let i = 0; i < 8; i++) {
        logger.info(String(i));
        w.tick(1);
      }
      const { rejectedReasons, delivered } = await logger.flush();
      assert.deepEqual([rejectedReasons.invalid, delivered, flights.most], [1, 7, 1]);
      assert.deepEqual(w.messages(), ["0", "1", "2", "4", "5", "6", "7"]);
    });
  }

  check("one event that is refused alone is reported", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    w.service.options.poison = () => true;
    const logger = w.logger({ format: RAW });
    for (let i = 0; i < 5; i++) logger.info(String(i));
    const after = await logger.close();
    assert.deepEqual([after.delivered, after.rejected, after.pending], [0, 5, 0]);
    ok(after.requests < 10);
    assert.equal(w.losses.length, 5);
  });
});

describe("rejected events", () => {
  const cases: [info: Record<string, number>, reasons: string][] = [
    [{ tooOldLogEventEndIndex: 1 }, "o........."],
    [{ tooOldLogEventEndIndex: 3 }, "ooo......."],
    [{ tooNewLogEventStartIndex: 7 }, ".......nnn"],
    [{ tooNewLogEventStartIndex: 9 }, ".........n"],
    [{ tooNewLogEventStartIndex: 0 }, "nnnnnnnnnn"],
    [{ expiredLogEventEndIndex: 2 }, "ee........"],
    [{ tooOldLogEventEndIndex: 2, tooNewLogEventStartIndex: 8 }, "oo......nn"],
    [{ tooOldLogEventEndIndex: 2, expiredLogEventEndIndex: 5 }, "ooeee....."],
    [{ tooOldLogEventEndIndex: 10 }, "oooooooooo"],
    [{ tooOldLogEventEndIndex: 2, expiredLogEventEndIndex: 4, tooNewLogEventStartIndex: 9 }, "ooee.....n"],
  ];
  const letter = { tooOld: "o", tooNew: "n", expired: "e" } as Record<string, string>;
  for (const [info, reasons] of cases) {
    check(`${JSON.stringify(info)} is ${reasons}`, async (w) => {
      w.clock();
      w.service.createLogStream(GROUP, STREAM);
      w.fault = once("PutLogEvents", { kind: "rejected", info });
      const logger = w.logger({ format: RAW });
      for (let i = 0; i < 10; i++) {
        logger.info(String(i));
        w.tick(1);
      }
      const after = await logger.flush();
      const heard = Array<string>(10).fill(".");
      for (const { reason, events, count, from, to } of w.losses) {
        assert.equal(count, events.length);
        assert.deepEqual([from, to], [events[0]?.timestamp, events.at(-1)?.timestamp]);
        for (const { message, timestamp } of events) {
          assert.equal(timestamp, NOW + Number(message));
          heard[Number(message)] = letter[reason] ?? "?";
        }
      }
      assert.equal(heard.join(""), reasons);
      const count = (wanted: string) => [...reasons].filter((char) => char === wanted).length;
      const rejectedReasons = { tooOld: count("o"), tooNew: count("n"), expired: count("e"), invalid: 0 };
      assert.deepEqual(after.rejectedReasons, rejectedReasons);
      assert.deepEqual([after.delivered, after.rejected], [count("."), 10 - count(".")]);
    });
  }

  check("what the service finds too old, too new and expired", async (w) => {
    const at = clockOnly(w);
    w.service.createLogGroup(GROUP, { retentionInDays: 7 });
    const logger = w.logger({ format: RAW });
    const days = { tooOld: -15, expired: -8, stored: -6, fresh: 0, tooNew: 0.1 };
    for (const [text, day] of Object.entries(days)) {
      at(NOW + day * 24 * HOUR_MS);
      logger.info(text);
    }
    const after = await logger.close();
    assert.deepEqual(w.messages(), ["stored", "fresh"]);
    assert.deepEqual(after.rejectedReasons, { tooOld: 1, expired: 1, tooNew: 1, invalid: 0 });
    for (const { reason, events } of w.losses)
      assert.deepEqual(
        events.map(({ message }) => message),
        [reason],
      );
  });
});

describe("sequence tokens", () => {
  check("no token is sent until an endpoint asks, then one request at a time", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    const logger = w.logger({ format: RAW, maxBatchEvents: 5 });
    const log = async (from: number, to: number) => {
      for (let i = from; i < to; i++) {
        logger.info(String(i));
        if (i % 3 === 0) w.tick(1);
      }
      await w.drive(logger.flush(Infinity));
    };
    await log(0, 30);
    assert.deepEqual(
      w.puts().filter(({ input }) => "sequenceToken" in input),
      [],
    );
    w.service.options.sequenceTokens = true;
    await log(30, 40);
    const flights = watchFlights(w, () => ({ kind: "delay", ms: 3 }));
    const before = w.puts().length;
    await log(40, 100);
    assert.equal(flights.most, 1);
    const later = w.puts().slice(before);
    ok(later.length >= 12 && later.every(({ input }) => typeof input.sequenceToken === "string"));
    ok(later.every(({ answer }) => answer?.status === 200));
    assert.deepEqual(
      w.messages(),
      Array.from({ length: 100 }, (_, i) => String(i)),
    );
  });

  check("a new endpoint with tokens from the start", async (w) => {
    w.service.options.sequenceTokens = true;
    const logger = w.logger({ format: RAW, maxBatchEvents: 2 });
    for (let i = 0; i < 20; i++) logger.info(String(i));
    const { delivered } = await logger.close();
    assert.equal(delivered, 20);
    assert.deepEqual(
      w.messages(),
      Array.from({ length: 20 }, (_, i) => String(i)),
    );
  });

  for (const [title, fields] of [
    ["absent", {}],
    ["null", { expectedSequenceToken: null }],
  ] as const) {
    check(`expectedSequenceToken may be ${title}`, async (w) => {
      w.clock();
      w.service.createLogStream(GROUP, STREAM);
      w.fault = once("PutLogEvents", { kind: "error", name: "InvalidSequenceTokenException", fields });
      const logger = w.logger({ format: RAW });
      logger.info("a");
      assert.equal((await w.drive(logger.flush(Infinity))).delivered, 1);
      assert.deepEqual(w.messages(), ["a"]);
    });
  }

  check("DataAlreadyAccepted is delivered and not sent again", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    w.fault = once("PutLogEvents", {
      kind: "error",
      name: "DataAlreadyAcceptedException",
      stored: true,
    });
    const logger = w.logger({ format: RAW });
    logger.info("a");
    logger.info("b");
    const { delivered, requests } = await logger.flush();
    assert.deepEqual([delivered, requests], [2, 1]);
    assert.deepEqual(w.messages(), ["a", "b"]);
  });
});

describe("entity", () => {
  const entity = { keyAttributes: { Type: "Service", Name: "checkout" }, attributes: { PlatformType: "Generic" } };

  check("it goes with every put", async (w) => {
    const logger = w.logger({ entity, maxBatchEvents: 1 });
    for (const text of ["a", "b", "c"]) logger.info(text);
    await logger.flush();
    ok(w.puts().length >= 3);
    for (const { input } of w.puts()) assert.deepEqual(input.entity, entity);
  });

  check("an entity and names as long as may be leave the events whole", async (w) => {
    const attributes = Object.fromEntries(range(10).map((n) => [`${n}`.repeat(250), "v".repeat(500)]));
    const logStreamName = "ス".repeat(512);
    const logger = w.logger({ entity: { ...entity, attributes }, logStreamName });
    for (let n = 0; n < 50; n++) logger.info(`event ${n}`);
    await logger.flush();
    assert.equal(w.service.events(GROUP, logStreamName).length, 50);
    assert.deepEqual(w.puts().at(-1)?.input.entity.attributes, attributes);
  });

  check("what follows the events has room behind events of any length", async (w) => {
    // Around the length with which a new batch of 16 KiB, one of them for what comes before, is full to the byte.
    const lengths = range(12, 15_312);
    for (const length of lengths) {
      const logger = w.logger({ format: RAW });
      logger.info("x".repeat(length));
      await logger.close();
    }
    assert.deepEqual(
      w.messages().map((text) => text.length),
      lengths,
    );
  });

  check("a refused entity is told, the events are delivered", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    w.fault = once("PutLogEvents", { kind: "rejectedEntity", errorType: "InvalidEntity" });
    const logger = w.logger({ entity });
    logger.info("a");
    const { delivered, rejected } = await logger.flush();
    assert.deepEqual([delivered, rejected, w.errors.length], [1, 0, 1]);
    assert.match(String(w.errors[0]?.message), /entity.*InvalidEntity/i);
  });
});

describe("compress", () => {
  const text = "a long and repetitive message ".repeat(100);
  /** The encodings of the puts, after so many batches. */
  const encodings = async (w: World, batches: number) => {
    w.service.createLogStream(GROUP, STREAM);
    const logger = w.logger({ format: RAW, compress: true });
    for (let n = 0; n < batches; n++) {
      logger.info(`${n} ${text}`);
      await w.drive(logger.flush(Infinity));
    }
    assert.deepEqual(
      w.messages(),
      range(batches).map((n) => `${n} ${text}`),
    );
    assert.deepEqual(w.losses, []);
    return w.puts().map(({ encoding }) => encoding ?? "plain");
  };

  check("requests are sent with gzip where that makes them smaller", async (w) => {
    w.clock();
    assert.deepEqual(await encodings(w, 3), ["gzip", "gzip", "gzip"]);
    ok(Number(w.puts()[0]?.bytes) < text.length / 4);
    const logger = w.logger({ compress: true });
    logger.info("short");
    await logger.flush();
    assert.equal(w.puts().at(-1)?.encoding, undefined);
    const without = w.logger();
    without.info(text);
    await without.flush();
    assert.equal(w.puts().at(-1)?.encoding, undefined);
  });

  for (const refusal of [
    { kind: "error", name: "SerializationException" },
    { kind: "error", name: "ValidationException" },
    { kind: "error", name: "InvalidParameterException" },
    { kind: "status", status: 415 },
  ] satisfies LocalFault[]) {
    check(
      `an endpoint that answers gzip with ${refusal.name ?? refusal.status} gets plain requests for good`,
      async (w) => {
        w.clock();
        w.fault = ({ encoding }) => (encoding === "gzip" ? refusal : undefined);
        const before = Date.now();
        assert.deepEqual(await encodings(w, 3), ["gzip", "plain", "plain", "plain"]);
        // The plain request went at once.
        ok(Date.now() - before < 500, `${Date.now() - before} ms`);
      },
    );
  }

  check("an endpoint that answers gzip with 500 gets plain requests after three of them", async (w) => {
    w.clock();
    w.service.options.gzip = false;
    w.t.mock.method(Math, "random", () => 0.999_999);
    const sent = await encodings(w, 5);
    assert.deepEqual(sent, ["gzip", "plain", "gzip", "plain", "gzip", "plain", "plain", "plain"]);
  });

  check("a batch whose gzip was answered with 500 is sent plain, after a pause", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.service.options.gzip = false;
    w.t.mock.method(Math, "random", () => 0.999_999);
    const logger = w.logger({ compress: true });
    logger.fatal(text);
    await until(() => w.puts()[0]?.answer);
    await w.settled();
    w.tick(98);
    await w.settled();
    assert.equal(w.puts().length, 1);
    w.tick(2);
    await until(() => logger.stats().delivered === 1);
    assert.equal(w.puts()[1]?.encoding, undefined);
  });

  check("trouble of other kinds, now and then, does not end gzip", async (w) => {
    w.clock();
    const faults: (LocalFault | undefined)[] = [];
    for (let n = 0; n < 5; n++)
      faults.push({ kind: "error", name: "InternalFailure", status: 500 }, undefined, undefined);
    for (let n = 0; n < 5; n++) faults.push({ kind: "reset", stored: false });
    faults.push({ kind: "throttle" }, { kind: "throttle" }, { kind: "error", name: "AccessDeniedException" });
    w.fault = () => faults.shift();
    assert.equal((await encodings(w, 13)).at(-1), "gzip");
  });

  check("a bad event among others is found all the same", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.service.options.poison = (message) => message.startsWith("5");
    const logger = w.logger({ format: RAW, compress: true });
    for (const n of range(8)) logger.info(`${n} ${text}`);
    const after = await w.drive(logger.flush(Infinity));
    assert.deepEqual([after.delivered, after.rejectedReasons.invalid], [7, 1]);
    assert.equal(w.losses[0]?.events[0]?.message, `5 ${text}`);
  });
});

describe("credentials and client", () => {
  const { accessKeyId, secretAccessKey, sessionToken } = CREDENTIALS;

  check("explicit credentials, session token and region are really used", async (w) => {
    w.service.options.accessKeyId = accessKeyId;
    w.service.options.secretAccessKey = secretAccessKey;
    const logger = w.logger({ credentials: CREDENTIALS, region: "eu-central-1" });
    logger.info("signed: é€😀");
    assert.equal((await logger.close()).delivered, 1);
    for (const { headers } of w.service.requests) {
      assert.equal(headers["x-amz-security-token"], sessionToken);
      assert.match(String(headers.authorization), /Credential=AKIDTEST\/\d{8}\/eu-central-1\/logs\/aws4_request/);
    }
  });

  check("credentials without a session token send none", async (w) => {
    const logger = w.logger({ credentials: { accessKeyId, secretAccessKey } });
    logger.info("a");
    await logger.close();
    for (const { headers } of w.service.requests) assert.equal(headers["x-amz-security-token"], undefined);
  });

  check("a provider function is asked", async (w) => {
    w.service.options.accessKeyId = "AKIDPROVIDED";
    w.service.options.secretAccessKey = "provided";
    let calls = 0;
    const credentials = async () => {
      calls++;
      return { accessKeyId: "AKIDPROVIDED", secretAccessKey: "provided" };
    };
    const logger = w.logger({ credentials });
    assert.equal(calls, 0);
    logger.info("a");
    assert.equal((await logger.close()).delivered, 1);
    ok(calls >= 1);
  });

  check("a provider that fails is configuration trouble and is asked again", async (w) => {
    w.clock();
    let calls = 0;
    const credentials = async () => {
      if (++calls < 3) throw new Error("vault is sealed");
      return { accessKeyId, secretAccessKey };
    };
    const logger = w.logger({ credentials });
    logger.info("a");
    await w.drive(logger.flush(Infinity), 1_000);
    assert.deepEqual(w.texts(), ["a"]);
    ok(w.errors.length <= 1);
  });

  check("profile beats keys in the environment", async (w) => {
    const directory = temporaryDirectory(w.t);
    const file = join(directory, "credentials");
    writeFileSync(file, "[work]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = profile-secret\n");
    w.service.options.secretAccessKey = "profile-secret";
    const child = await run(
      `const logger = new CloudwatchLogger("my-app", { ...options, logStreamName: "main", credentials: undefined, profile: "work" });
       logger.info("from the profile");
       console.log((await logger.close()).delivered);`,
      {
        service: w.service,
        env: {
          AWS_SHARED_CREDENTIALS_FILE: file,
          AWS_CONFIG_FILE: join(directory, "config"),
          AWS_ACCESS_KEY_ID: "AKIDENVIRONMENT",
          AWS_SECRET_ACCESS_KEY: "environment-secret",
        },
      },
    );
    assert.equal(child.stdout, "1\n", child.stderr);
    assert.deepEqual(new Set(w.service.requests.map((request) => request.accessKeyId)), new Set(["AKIDPROFILE"]));
  });

  check("without an option the SDK's default chain is used", async (w) => {
    const child = await run(
      `const { endpoint } = options;
       const logger = new CloudwatchLogger("my-app", { endpoint });
       logger.info("a");
       console.log((await logger.close()).delivered);`,
      {
        service: w.service,
        env: { AWS_ACCESS_KEY_ID: "AKIDENVIRONMENT", AWS_SECRET_ACCESS_KEY: "s", AWS_REGION: "ap-south-1" },
      },
    );
    assert.equal(child.stdout, "1\n", child.stderr);
    assert.match(String(w.service.requests[0]?.headers.authorization), /AKIDENVIRONMENT\/\d+\/ap-south-1\//);
  });

  check("no region at all is configuration trouble, not a crash", async (w) => {
    const child = await run(
      `const errors = [];
       const { endpoint, credentials } = options;
       const logger = new CloudwatchLogger("my-app", { endpoint, credentials, onError: (e) => errors.push(e.message) });
       logger.fatal("a");
       while (errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
       const { pending } = await logger.flush(50);
       console.log(JSON.stringify({ pending, errors }));
       await logger.close(0);`,
      { service: w.service },
    );
    const { pending, errors } = JSON.parse(child.stdout);
    assert.deepEqual([pending, errors.length, w.service.requests.length], [1, 1, 0]);
    assert.match(errors[0], /region/i);
  });

  check("a given client is used and never destroyed", async (w) => {
    const client = new CloudWatchLogsClient({
      endpoint: w.service.endpoint,
      region: "us-east-1",
      credentials: CREDENTIALS,
    });
    const destroy = w.t.mock.method(client, "destroy");
    for (const text of ["a", "b"]) {
      const logger = w.logger({ client });
      logger.info(text);
      assert.equal((await logger.close()).delivered, 1);
    }
    assert.equal(destroy.mock.callCount(), 0);
    assert.deepEqual(w.texts(), ["a", "b"]);
    client.destroy();
  });

  it("anything with send gets PutLogEventsCommand with readable events", async () => {
    const commands: { name: string; input: Record<string, unknown> }[] = [];
    const client = {
      send: async (command: { constructor: { name: string }; input: Record<string, unknown> }) => {
        commands.push({ name: command.constructor.name, input: command.input });
        return {};
      },
    };
    const logger = new CloudwatchLogger(GROUP, { client: client as never, logStreamName: STREAM });
    logger.info('a "quoted" é', { n: 1 });
    logger.warn("b");
    assert.deepEqual(counts(await logger.close()), stats({ logged: 2, delivered: 2, requests: 1 }));
    assert.equal(commands.length, 1);
    const [{ name, input } = assert.fail("no command")] = commands;
    assert.equal(name, "PutLogEventsCommand");
    assert.deepEqual([input.logGroupName, input.logStreamName], [GROUP, STREAM]);
    const events = input.logEvents as LogEvent[];
    assert.deepEqual(
      events.map(({ message }) => message),
      [JSON.stringify({ level: "INFO", message: 'a "quoted" é', n: 1 }), '{"level":"WARN","message":"b"}'],
    );
    ok(events.every(({ timestamp }) => Number.isInteger(timestamp)));
  });

  it("a client that throws or rejects with anything does not break the logger", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW });
    const answers: (() => unknown)[] = [
      () => Promise.reject(new Error("socket hang up")),
      () => Promise.reject(Object.assign(new Error("reset"), { code: "ECONNRESET" })),
      () => {
        throw new Error("synchronous");
      },
      () => Promise.reject({ name: "ThrottlingException" }),
      () => ({}),
    ];
    const client = { send: async () => (answers.shift() ?? (() => ({})))() };
    const logger = new CloudwatchLogger(GROUP, { client, logStreamName: STREAM, onError: () => {} });
    logger.info("a");
    const flushing = tracked(logger.flush(Infinity));
    await until(() => {
      t.mock.timers.tick(1_000);
      return flushing();
    });
    const after = logger.stats();
    assert.deepEqual([after.delivered, after.requests, answers.length], [1, 5, 0]);
    await logger.close();
  });
});

// ── 6 · Life ────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("flush() and close()", () => {
  check("flush() resolves when all that was logged before has an outcome", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = (request) =>
      request.input.logEvents.every(({ message }: LogEvent) => message.startsWith("late"))
        ? { kind: "hang" }
        : undefined;
    const logger = w.logger({ format: RAW, maxBatchEvents: 10 });
    for (let i = 0; i < 25; i++) {
      logger.info(`early ${i}`);
      w.tick(1);
    }
    const flushed = logger.flush();
    w.tick(1);
    for (let i = 0; i < 25; i++) logger.info(`late ${i}`);
    const after = await flushed;
    assert.equal(after.delivered, 25);
    assert.equal(w.messages().length, 25);
    w.heal();
    await w.drive(logger.flush(Infinity), 1_000);
    assert.equal(w.messages().length, 50);
  });

  check("flush() resolves while logging goes on", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    const logger = w.logger({ format: RAW, maxBatchEvents: 10 });
    logger.info("early");
    const flushing = tracked(logger.flush());
    for (let ms = 0; ms < 500 && flushing() === undefined; ms++) {
      for (let i = 0; i < 7; i++) logger.info("later");
      w.tick(1);
      await realSleep(1);
    }
    ok(flushing(), `${logger.stats().delivered} events later`);
  });

  check("flush() waits for the request in flight", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    w.service.options.delayMs = 50;
    const logger = w.logger();
    logger.fatal("a");
    await until(() => w.puts().length === 1);
    assert.equal((await logger.flush()).delivered, 1);
    assert.equal(w.puts().length, 1);
  });

  check("flush() of nothing resolves, also twice and beside others", async (w) => {
    const logger = w.logger();
    assert.deepEqual(counts(await logger.flush()), stats({}));
    logger.info("a");
    const all = await Promise.all([logger.flush(), logger.flush(1_000), logger.child({}).flush(), logger.flush()]);
    for (const after of all) assert.deepEqual([after.delivered, after.pending], [1, 0]);
    assert.equal(w.delivering().length, 1);
  });

  check("flush() takes closeTimeoutMs at most, 8 s by default", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = () => ({ kind: "hang" });
    for (const closeTimeoutMs of [undefined, 500]) {
      const logger = w.logger({ closeTimeoutMs });
      logger.info("a");
      const flushing = tracked(logger.flush());
      await w.settled();
      w.tick((closeTimeoutMs ?? 8_000) - 1);
      await w.settled();
      assert.equal(flushing(), undefined);
      w.tick(1);
      await until(flushing);
      assert.equal(flushing()?.pending, 1);
    }
  });

  check("flush(timeoutMs) resolves at the timeout and keeps the events", async (w) => {
    let answer = (_: object) => {};
    const send = () =>
      new Promise<object>((resolve) => {
        answer = resolve;
      });
    const logger = w.logger({ client: { send } });
    logger.info("a");
    assert.equal((await logger.flush(20)).pending, 1);
    answer({});
    assert.equal((await logger.flush(Infinity)).delivered, 1);
  });

  check("a timeout that is no number of ms does not reject", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    const logger = w.logger();
    logger.info("a");
    for (const ms of [0, -1, Number.NaN]) assert.equal((await logger.flush(ms)).logged, 1);
    assert.equal((await logger.flush(Number.POSITIVE_INFINITY)).delivered, 1);
  });

  check("close() sends everything, more than one batch too", async (w) => {
    const logger = w.logger({ format: RAW, maxBatchEvents: 7 });
    for (let i = 0; i < 200; i++) logger.info(String(i));
    const after = await logger.close();
    assert.deepEqual([after.delivered, after.pending, after.dropped], [200, 0, 0]);
    assert.equal(w.messages().length, 200);
  });

  check("close() twice gives the same promise", async (w) => {
    const logger = w.logger();
    logger.info("a");
    const closed = logger.close();
    assert.equal(logger.close(5), closed);
    assert.equal((await closed).delivered, 1);
    assert.equal(logger.close(), closed);
  });

  check("close() reports what is left as unsent", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    const logger = w.logger({ format: RAW, maxBatchEvents: 2, closeTimeoutMs: 3_000 });
    logger.info("delivered");
    await logger.flush();
    w.fault = () => ({ kind: "hang" });
    const texts = ["a", "b", "c", "d", "e"];
    for (const text of texts) {
      w.tick(1);
      logger.info(text);
    }
    const closing = tracked(logger.close());
    await until(() => w.puts().length >= 3);
    w.tick(2_999);
    await quiet();
    assert.equal(closing(), undefined);
    assert.equal(w.losses.length, 0);
    w.tick(1);
    await until(closing);
    assert.deepEqual(
      w.losses.map(({ reason, count }) => [reason, count]),
      [["unsent", 5]],
    );
    assert.deepEqual(
      w.losses[0]?.events.map(({ message }) => message),
      texts,
    );
    assert.deepEqual([w.losses[0]?.from, w.losses[0]?.to], [NOW + 1, NOW + 5]);
    assert.deepEqual([closing()?.delivered, closing()?.pending, closing()?.droppedReasons.unsent], [1, 0, 5]);
    const requests = w.puts().length;
    w.heal();
    w.tick(60_000);
    await quiet();
    assert.equal(w.puts().length, requests);
    assert.deepEqual(logger.stats(), closing());
  });

  check("close(timeoutMs) beats closeTimeoutMs", async (w) => {
    w.clock();
    w.fault = () => ({ kind: "throttle" });
    const logger = w.logger({ closeTimeoutMs: 60_000 });
    logger.info("a");
    const closing = tracked(logger.close(100));
    await quiet();
    w.tick(100);
    await until(closing);
    assert.equal(logger.stats().droppedReasons.unsent, 1);
    ok(w.losses[0]?.cause instanceof Error);
  });

  check("logging after close() is counted as closed, told and does not throw", async (w) => {
    w.clock();
    const logger = w.logger({ maxEventBytes: 256 });
    logger.info("a");
    await logger.close();
    const child = logger.child({ n: 1 });
    logger.info("late");
    w.tick(5);
    child.error(new Error("late"));
    logger.fatal("x".repeat(1_000));
    logger.debug("filtered");
    const after = logger.stats();
    assert.deepEqual([after.logged, after.delivered, after.droppedReasons.closed], [4, 1, 3]);
    w.tick(1_000);
    assert.deepEqual(w.losses, [{ reason: "closed", count: 3, events: [], from: NOW, to: NOW + 5 }]);
    assert.equal((await logger.flush()).logged, 4);
    assert.equal(w.messages().length, 1);
  });

  check("await using closes", async (w) => {
    const logger = w.logger();
    logger.info("a");
    await logger[Symbol.asyncDispose]();
    assert.equal(logger.stats().delivered, 1);
    logger.info("b");
    assert.equal(logger.stats().droppedReasons.closed, 1);
  });

  check("no callback of the user's can break the logger", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    const broken: ((argument: unknown) => unknown)[] = [
      () => {
        throw new Error("callback failed");
      },
      async () => Promise.reject(new Error("callback rejected")),
      // biome-ignore lint/suspicious/noThenProperty: a thenable whose `then` throws
      () => ({ then: () => boom() }),
    ];
    for (const callback of broken) {
      w.service.options.poison = (message) => message.includes("poison");
      w.fault = once("PutLogEvents", { kind: "rejectedEntity", errorType: "InvalidEntity" });
      const logger = w.logger({ onError: callback as () => void, onLoss: callback as () => void, maxEventBytes: 256 });
      logger.info("poison");
      await logger.flush();
      logger.info("good");
      const after = await logger.close();
      logger.info("late");
      assert.deepEqual([after.delivered + after.rejected, after.pending], [2, 0]);
      await quiet();
    }
    assert.equal(w.messages().filter((text) => text.includes("good")).length, 3);
  });

  check("onError and onLoss are told when the call is over, and before flush() and close() resolve", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    w.service.options.poison = (message) => message.includes("poison");
    const told: string[] = [];
    const logger = w.logger({
      format: () => boom(),
      maxEventBytes: 256,
      maxBatchBytes: 256,
      maxQueueBytes: 1_000,
      onError: ({ code }) => told.push(code),
      onLoss: ({ reason }) => told.push(reason),
    });
    logger.info("poison");
    assert.deepEqual(told, []);
    await Promise.resolve();
    assert.deepEqual(told, ["ERR_FORMAT"]);
    for (let n = 0; n < 20; n++) logger.info("x".repeat(150));
    logger.stream().write("x".repeat(500));
    assert.deepEqual(told, ["ERR_FORMAT"]);
    await logger.flush();
    assert.deepEqual([...told].sort(), ["ERR_FORMAT", "invalid", "oversize", "queueFull"]);
    await logger.close();
    // The line that had no end is sent then.
    assert.deepEqual(told.splice(4), ["oversize"]);
    logger.info("late");
    assert.equal(told.length, 4);
    await logger.flush();
    await until(() => told.at(-1) === "closed");
  });

  check("a callback that logs does not call itself", async (w) => {
    let depth = 0;
    const logger = w.logger({
      format: () => boom(),
      onError: () => {
        assert.equal(depth++, 0);
        logger.info("heard");
        depth--;
      },
    });
    logger.info("a");
    await logger.flush();
    await logger.flush();
    assert.deepEqual(w.texts(), ["a", "heard"]);
  });
});

describe("the end of the process", { concurrency: 4 }, () => {
  const create = `const logger = new CloudwatchLogger("my-app", { ...options, logStreamName: "main", flushIntervalMs: 600_000 });`;
  const five = `for (let i = 0; i < 5; i++) logger.info("event " + i);`;
  const stderrEvents = (stderr: string) => stderr.split("\n").filter((line) => /event \d/.test(line));

  check("natural end: beforeExit flushes, no timer keeps the process alive", async (w) => {
    const child = await run(`${create} ${five}`, { service: w.service });
    assert.deepEqual([child.code, child.signal, child.stdout, child.stderr], [0, null, "", ""]);
    assert.equal(w.messages().length, 5);
  });

  check("events logged in beforeExit are sent too", async (w) => {
    const child = await run(
      `process.once("beforeExit", () => logger.info("event last")); ${create}
       process.once("beforeExit", () => logger.info("event very last")); ${five}`,
      { service: w.service },
    );
    assert.equal(child.code, 0);
    assert.equal(w.messages().length, 7);
  });

  check("an idle logger does not keep the process alive", async (w) => {
    const child = await run(`${create} ${five} await logger.flush(); console.log("flushed");`, { service: w.service });
    assert.deepEqual([child.code, child.stdout], [0, "flushed\n"]);
    assert.equal(w.service.counts.PutLogEvents, 2);
  });

  for (const [title, end, code] of [
    ["process.exit()", "process.exit(3);", 3],
    ["an uncaught exception", 'throw new Error("uncaught");', 1],
    ["an unhandled rejection", 'Promise.reject(new Error("unhandled"));', 1],
  ] as const) {
    check(`${title} prints undelivered events on stderr`, async (w) => {
      const child = await run(`${create} ${five} ${end}`, { service: w.service });
      assert.equal(child.code, code);
      assert.equal(stderrEvents(child.stderr).length, 5, child.stderr);
      for (let i = 0; i < 5; i++) ok(child.stderr.includes(`event ${i}`));
      assert.deepEqual(w.service.events(GROUP), []);
    });
  }

  check("process.exit() prints many undelivered events whole, also with an onLoss", async (w) => {
    const child = await run(
      `const logger = new CloudwatchLogger("my-app", { ...options, logStreamName: "main", onLoss: (loss) => console.log(loss.reason, loss.count) });
       for (let i = 0; i < 3_000; i++) logger.info("event " + i + " " + "x".repeat(100));
       process.exit(0);`,
      { service: w.service },
    );
    const numbers = stderrEvents(child.stderr).map((line) => Number(/event (\d+) x{100}/.exec(line)?.[1]));
    assert.deepEqual(
      numbers,
      Array.from({ length: 3_000 }, (_, i) => i),
    );
    assert.equal(child.stdout, "unsent 3000\n");
  });

  check("process.exit() prints nothing that was delivered", async (w) => {
    const child = await run(`${create} ${five} await logger.flush(); logger.info("event 9"); process.exit(0);`, {
      service: w.service,
    });
    assert.equal(stderrEvents(child.stderr).length, 1);
    assert.match(child.stderr, /event 9/);
    assert.equal(w.messages().length, 5);
  });

  check("a dead endpoint: the process ends by itself, bounded, events on stderr", async (w) => {
    const child = await run(
      `const logger = new CloudwatchLogger("my-app", { ...options, endpoint: "http://127.0.0.1:1", closeTimeoutMs: 300 });
       ${five}`,
      { service: w.service },
    );
    assert.equal(child.code, 0);
    assert.equal(child.signal, null);
    assert.equal(stderrEvents(child.stderr).length, 5, child.stderr);
  });

  check("a service that hangs: the process ends by itself, bounded, events on stderr", async (w) => {
    w.fault = () => ({ kind: "hang" });
    const child = await run(`options.closeTimeoutMs = 300; ${create} ${five}`, { service: w.service });
    assert.deepEqual([child.code, child.signal], [0, null]);
    assert.equal(stderrEvents(child.stderr).length, 5, child.stderr);
  });

  const waiting = `console.log("ready"); setInterval(() => {}, 1_000);`;
  const onSigterm = `options.closeOnSignals = ["SIGTERM"]; options.closeTimeoutMs = 60_000;`;
  const term = (child: ChildProcess) => child.kill("SIGTERM");

  check("SIGTERM in closeOnSignals: closes, then the signal takes effect", async (w) => {
    const child = await run(`${onSigterm} ${create} ${five} ${waiting}`, { service: w.service, onReady: term });
    assert.deepEqual([child.code, child.signal], [null, "SIGTERM"]);
    assert.equal(w.messages().length, 5);
    assert.equal(child.stderr, "");
  });

  check("SIGTERM in closeOnSignals closes every logger", async (w) => {
    const child = await run(
      `${onSigterm} ${create} ${five}
       const other = new CloudwatchLogger("other", { ...options, closeOnSignals: [] });
       other.info("event other"); ${waiting}`,
      { service: w.service, onReady: term },
    );
    assert.equal(child.signal, "SIGTERM");
    assert.equal(w.service.events("other").length, 1);
    assert.equal(w.messages().length, 5);
  });

  check("SIGTERM without closeOnSignals is left alone", async (w) => {
    const child = await run(`${create} ${five} ${waiting}`, { service: w.service, onReady: term });
    assert.equal(child.signal, "SIGTERM");
    assert.deepEqual(w.service.events(GROUP), []);
  });

  for (const order of ["before", "after"]) {
    check(`a program's own SIGTERM handler, installed ${order} the logger, decides`, async (w) => {
      const handler = `process.on("SIGTERM", () => {
        console.log("handled");
        setInterval(() => logger.stats().delivered === 5 && process.exit(7), 5);
      });`;
      const [first, second] = order === "before" ? [handler, ""] : ["", handler];
      const child = await run(`${onSigterm} ${first} ${create} ${second} ${five} ${waiting}`, {
        service: w.service,
        onReady: term,
      });
      assert.deepEqual([child.code, child.signal, child.stdout], [7, null, "ready\nhandled\n"]);
      assert.equal(w.messages().length, 5);
    });
  }

  check("the same signal again ends at once", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    w.fault = () => ({ kind: "hang" });
    const child = await run(`${onSigterm} ${create} ${five} ${waiting}`, {
      service: w.service,
      onReady: async (child) => {
        term(child);
        await until(() => w.puts().length === 1);
        term(child);
      },
    });
    assert.deepEqual([child.code, child.signal], [null, "SIGTERM"]);
  });

  check("handlers on the process: beforeExit and exit, shared, removed with the last logger", async (w) => {
    const child = await run(
      `const names = ["beforeExit", "exit", "SIGHUP", "SIGTERM", "SIGINT", "uncaughtException", "unhandledRejection", "warning"];
       const counts = () => names.map((name) => process.listenerCount(name));
       const before = counts();
       const added = () => counts().map((count, index) => count - before[index]).join("");
       const create = (closeOnSignals) => new CloudwatchLogger("my-app", { ...options, closeOnSignals });
       const loggers = Array.from({ length: 12 }, () => create());
       console.log(added());
       const signalled = create(["SIGHUP"]);
       console.log(added());
       await signalled.close();
       console.log(added());
       for (const logger of loggers) await logger.close();
       console.log(added());`,
      { service: w.service },
    );
    assert.deepEqual(child.stdout.trim().split("\n"), ["11000000", "11100000", "11000000", "00000000"], child.stderr);
  });

  check("a log call after close() does not cost other loggers their end", async (w) => {
    const child = await run(
      `const closed = new CloudwatchLogger("closed", { ...options, onLoss: ({ reason, count }) => console.log(reason, count) });
       await closed.close();
       closed.info("late");
       ${create} ${five}
       process.exit(0);`,
      { service: w.service },
    );
    assert.equal(stderrEvents(child.stderr).length, 5, child.stderr);
    assert.equal(child.stdout, "closed 1\n");
  });

  check("after close() the process is as before", async (w) => {
    const child = await run(
      `const names = ["SIGTERM", "SIGINT", "exit", "beforeExit", "uncaughtException", "unhandledRejection"];
       const counts = () => names.map((name) => process.listenerCount(name));
       const before = String(counts());
       ${onSigterm} ${create} ${five}
       const during = String(counts());
       await logger.close();
       console.log(before === String(counts()), before === during);`,
      { service: w.service },
    );
    assert.deepEqual([child.code, child.stdout], [0, "true false\n"]);
  });

  check("what goes wrong is told on stderr in single lines, rate-limited, and no secret", async (w) => {
    w.service.options.poison = () => true;
    const child = await run(
      `const logger = new CloudwatchLogger("my-app", { ...options, logStreamName: "main" });
       for (let i = 0; i < 50; i++) logger.info("hostile \\u001b[2J\\n" + i);
       await logger.close();`,
      { service: w.service },
    );
    assert.equal(child.code, 0);
    const told = [...child.stderr.matchAll(/(\d+) log events? (?:was|were) rejected \(invalid\)/g)];
    assert.equal(
      told.reduce((total, [, count]) => total + Number(count), 0),
      50,
      child.stderr,
    );
    assert.equal(child.stderr, stripVTControlCharacters(child.stderr));
    const lines = child.stderr.trim().split("\n");
    ok(lines.length < 25, `${lines.length} lines`);
    assert.doesNotMatch(child.stderr, /correct-horse|battery-staple/);
  });
});

// ── Conservation ────────────────────────────────────────────────────────────────────────────────────────────────────

describe("conservation", () => {
  const error = (name: string, status = 400): LocalFault => ({ kind: "error", name, status });
  const FAULTS: LocalFault[] = [
    { kind: "throttle" },
    error("InternalFailure", 500),
    error("AccessDeniedException"),
    error("ValidationException"),
    error("InvalidSequenceTokenException"),
    { kind: "html" },
    { kind: "empty" },
    { kind: "hang" },
    { kind: "reset", stored: false },
    { kind: "delay", ms: 2 },
    { kind: "deleteLogStream" },
    { kind: "rejected", info: { tooOldLogEventEndIndex: 1 } },
    { kind: "rejected", info: { tooNewLogEventStartIndex: 2 } },
  ];

  check("every event has exactly one outcome, whatever the service does", async (w) => {
    w.clock();
    let stream = 0;
    const scenario = fc.record({
      faults: fc.array(fc.option(fc.constantFrom(...FAULTS), { nil: undefined }), { maxLength: 14 }),
      events: fc.array(
        fc.record({
          stepMs: fc.constantFrom(0, 0, 1, 50),
          flush: fc.integer({ min: 0, max: 9 }),
          level: fc.constantFrom(...LEVEL_NAMES),
        }),
        {
          minLength: 1,
          maxLength: 60,
        },
      ),
      maxBatchEvents: fc.constantFrom(1, 3, 10_000),
      maxInFlight: fc.constantFrom(1, 4),
      closeMs: fc.option(fc.constantFrom(0, 150, 5_000), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ faults, events, maxBatchEvents, maxInFlight, closeMs }) => {
        const logStreamName = `s${stream++}`;
        const losses: Loss[] = [];
        const stored: string[] = [];
        const pending = [...faults];
        w.service.createLogStream(GROUP, logStreamName);
        w.fault = ({ action }) => (action === "PutLogEvents" ? pending.shift() : undefined);
        w.service.options.onEvents = (_, name, events) => {
          if (name === logStreamName) stored.push(...events.map(({ message }) => message));
        };
        const options = { maxBatchEvents, maxInFlight, maxBatchBytes: 1_000, maxQueueBytes: 1_500 };
        const logger = w.logger({
          ...options,
          logStreamName,
          format: RAW,
          level: "debug",
          onLoss: (loss) => losses.push(loss),
        });
        const accepted: string[] = [];
        let logged = 0;
        for (const [index, { stepMs, flush, level }] of events.entries()) {
          const before = logger.stats();
          logger[level](`#${index}`);
          const after = conserved(logger.stats());
          logged += after.logged - before.logged;
          if (after.pending > before.pending) accepted.push(`#${index}`);
          if (flush === 0) void logger.flush(50);
          w.tick(stepMs);
        }
        const closed =
          closeMs === undefined ? logger.flush(Infinity).then(() => logger.close()) : logger.close(closeMs);
        const after = conserved(await w.drive(closed, 1_000));
        assert.equal(after.pending, 0);
        ok(after.logged >= logged);
        // Each accepted event: delivered, or told as lost, and not both.
        const lost = losses
          .flatMap(({ events }) => events.map(({ message }) => message))
          .filter((text) => text.startsWith("#"));
        assert.deepEqual(lost.length, new Set(lost).size);
        const ofUs = stored.filter((text) => text.startsWith("#"));
        assert.deepEqual([...new Set([...ofUs, ...lost])].sort(), accepted.sort());
        if (closeMs === undefined)
          assert.deepEqual(
            lost.filter((text) => ofUs.includes(text)),
            [],
          );
        for (const [reason, count] of Object.entries({ ...after.rejectedReasons, ...after.droppedReasons })) {
          assert.equal(sumOf(losses.filter((loss) => loss.reason === reason).map((loss) => loss.count)), count, reason);
        }
        w.service.deleteLogStream(GROUP, logStreamName);
        w.service.requests.length = 0;
      }),
      { numRuns: 60 },
    );

    delete w.service.options.onEvents;
  });

  check("it holds at every moment", async (w) => {
    w.service.options.poison = (message) => message === "5";
    const seen: Stats[] = [];
    const logger = w.logger({
      format: (event) => {
        seen.push(logger.stats());
        return event.message;
      },
      onLoss: () => seen.push(logger.stats()),
      onError: () => seen.push(logger.stats()),
      maxBatchEvents: 3,
    });
    w.service.options.onEvents = () => seen.push(logger.stats());
    for (let i = 0; i < 12; i++) logger.info(String(i));
    await logger.close();
    logger.info("late");
    seen.push(logger.stats());
    ok(seen.length > 16);
    for (const moment of seen) conserved(moment);
    assert.deepEqual(logger.stats().rejectedReasons.invalid, 1);
  });

  check("stats() is a copy", async (w) => {
    const logger = w.logger();
    logger.info("a");
    const before = logger.stats();
    before.logged = 99;
    before.droppedReasons.unsent = 99;
    assert.deepEqual(counts(logger.stats()), stats({ logged: 1, pending: 1 }));
  });
});

// ── Seen broken elsewhere: one test for each line of peers.md ───────────────────────────────────────────────────────

describe("seen broken elsewhere", () => {
  const numbered = (count: number) => Array.from({ length: count }, (_, i) => String(i));

  check("sorting with a comparator that never returns 0: same-millisecond lines reversed", async (w) => {
    w.clock();
    const logger = w.logger({ format: RAW });
    for (const text of numbered(500)) logger.info(text);
    await logger.flush();
    assert.deepEqual(w.messages(), numbered(500));
  });

  check("15,000 tiny events in one interval: over 10,000 in a batch, all lost", async (w) => {
    w.clock();
    const logger = w.logger({ format: RAW });
    for (const text of numbered(15_000)) logger.info(text);
    const { delivered, rejected, dropped } = await logger.flush();
    assert.deepEqual([delivered, rejected, dropped], [15_000, 0, 0]);
    assert.deepEqual(w.delivered("events"), [10_000, 5_000]);
    assert.deepEqual(w.messages(), numbered(15_000));
  });

  check("sizes counted in UTF-16 units, so 300 KB of € is sent as 900 KB", async (w) => {
    w.service.options.maxEventBytes = 262_144;
    const logger = w.logger({ format: RAW, maxEventBytes: 262_144, overflow: "split" });
    logger.info("€".repeat(300_000));
    const { delivered } = await logger.flush();
    assert.equal(delivered, Math.ceil(300_000 / Math.floor(262_118 / 3)));
    assert.equal(w.messages().join(""), "€".repeat(300_000));
  });

  check("cuts inside a surrogate pair", async (w) => {
    const logger = w.logger({ format: RAW, maxEventBytes: 256, overflow: "split" });
    for (let shift = 0; shift < 4; shift++) logger.info("x".repeat(shift) + "😀".repeat(100));
    await logger.flush();
    assert.equal(
      w.messages().join(""),
      numbered(4)
        .map((shift) => "x".repeat(Number(shift)) + "😀".repeat(100))
        .join(""),
    );
    ok(w.messages().every((text) => !text.includes("\ufffd")));
  });

  check("the 26 bytes forgotten, or added twice", async (w) => {
    w.clock();
    const logger = w.logger({ format: RAW, maxInFlight: 1 });
    for (let i = 0; i < 4_096; i++) logger.info("x".repeat(256 - 26));
    w.tick(1);
    for (let i = 0; i < 4_095; i++) logger.info("x".repeat(256 - 26));
    logger.info("x".repeat(256 - 25));
    await logger.flush();
    assert.deepEqual(w.delivered("batchBytes"), [1_048_576, 1_048_320, 257]);
  });

  check("the batch is taken off the queue before it is acknowledged: a 1 s outage loses it", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = () => ({ kind: "reset", stored: false });
    const logger = w.logger({ format: RAW, flushIntervalMs: 100 });
    for (const text of numbered(10)) logger.info(text);
    await w.pass(2_000);
    ok(w.puts().length > 1);
    assert.equal(logger.stats().pending, 10);
    w.heal();
    await w.drive(logger.flush(Infinity));
    assert.deepEqual(w.messages(), numbered(10));
  });

  check("a timer re-armed by every event (a debounce): steady traffic is never flushed", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    const logger = w.logger({ format: RAW, flushIntervalMs: 1_000 });
    for (let second = 1; second <= 3; second++) {
      for (let i = 0; i < 10; i++) {
        logger.info("steady");
        w.tick(100);
      }
      await until(() => w.puts().length >= second && logger.stats().delivered >= second * 9);
    }
    ok(w.puts().length <= 4, `${w.puts().length} requests in 3 s`);
  });

  check("no timer at all: five lines, then idle, are never sent", async (w) => {
    const logger = w.logger({ format: RAW, flushIntervalMs: 20 });
    for (const text of numbered(5)) logger.info(text);
    await until(() => w.messages().length === 5);
  });

  check("info(0) and info(false) swallowed as empty", async (w) => {
    const logger = w.logger({ format: "text" });
    for (const value of [0, false, "", null, undefined, Number.NaN, 0n]) logger.info(value);
    assert.equal((await logger.flush()).delivered, 7);
    assert.deepEqual(w.messages().slice(0, 2), ["INFO 0", "INFO false"]);
  });

  for (const fault of [
    { kind: "error", name: "AccessDeniedException" },
    { kind: "reset", stored: false },
    { kind: "error", name: "InternalFailure", status: 500 },
  ] satisfies LocalFault[]) {
    check(`a rejected init promise cached: one ${fault.name ?? fault.kind} and nothing is logged again`, async (w) => {
      w.clock();
      w.fault = once("CreateLogStream", fault);
      const logger = w.logger({ logStreamName: undefined, format: RAW });
      logger.info("a");
      await w.drive(logger.flush(Infinity), 2_000);
      logger.info("b");
      await w.drive(logger.flush(Infinity));
      assert.deepEqual(w.messages(), ["a", "b"]);
    });
  }

  check("logStreams[0] of a prefix match taken for the stream", async (w) => {
    for (const name of ["app-1", "app-0", "ap"]) w.service.createLogStream(GROUP, name);
    const logger = w.logger({ logStreamName: "app", format: RAW });
    logger.info("a");
    await logger.flush();
    assert.deepEqual(w.service.logStreams(GROUP), ["ap", "app", "app-0", "app-1"]);
    assert.deepEqual(w.messages("app"), ["a"]);
  });

  for (const [title, fields] of [
    ["with a token", { expectedSequenceToken: "1" }],
    ["without one", {}],
  ] as const) {
    check(`endless immediate recursion on token errors, ${title}`, async (w) => {
      w.clock();
      w.service.createLogStream(GROUP, STREAM);
      w.fault = () => ({ kind: "error", name: "InvalidSequenceTokenException", fields });
      const logger = w.logger({ format: RAW });
      logger.fatal("a");
      await until(() => w.puts().length >= 2);
      await quiet(40);
      ok(w.puts().length <= 5, `${w.puts().length} requests without a pause`);
      assert.equal(logger.stats().pending, 1);
      w.heal();
      await w.drive(logger.flush(Infinity));
      assert.deepEqual(w.messages(), ["a"]);
    });
  }

  check("endless immediate recursion on a stream that stays missing", async (w) => {
    w.clock();
    w.fault = ({ action }) =>
      action === "PutLogEvents" ? { kind: "error", name: "ResourceNotFoundException" } : undefined;
    const logger = w.logger({ format: RAW });
    logger.fatal("a");
    await until(() => w.puts().length >= 2);
    await quiet(40);
    ok(w.service.requests.length <= 12, `${w.service.requests.length} requests without a pause`);
    w.heal();
    await w.drive(logger.flush(Infinity));
    assert.deepEqual(w.messages(), ["a"]);
  });

  check("a busy loop while full", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    w.fault = () => ({ kind: "throttle" });
    const logger = w.logger({ format: RAW, maxQueueBytes: 1_000, maxBatchBytes: 500 });
    for (let i = 0; i < 200; i++) {
      logger.fatal(sized(100, i));
      if (i % 20 === 0) await quiet(2);
    }
    await quiet();
    ok(w.puts().length <= 2, `${w.puts().length} requests without a pause`);
    assert.deepEqual([logger.stats().pending, logger.stats().droppedReasons.queueFull], [10, 190]);
    w.heal();
    await w.drive(logger.flush(Infinity));
  });

  check("the constructor calling the network; a host that cannot start because CloudWatch is down", async (w) => {
    const { endpoint } = w.service;
    await w.service.close();
    const logger = w.logger({ endpoint, logStreamName: undefined });
    logger.info("the host runs");
    assert.equal(logger.stats().pending, 1);
    await logger.close(0);
    assert.deepEqual(w.service.requests, []);
  });

  check("10 events/s ceilings from a default batch of 20 per 2 s", async (w) => {
    w.clock();
    w.service.createLogStream(GROUP, STREAM);
    const logger = w.logger({ format: RAW, flushIntervalMs: undefined });
    for (const text of numbered(5_000)) logger.info(text);
    w.tick(1_000);
    await until(() => w.messages().length === 5_000);
    assert.equal(w.puts().length, 1);
  });

  check("an unhandled rejection, or an 'error' event without a listener, that ends the process", async (w) => {
    const faults: LocalFault[] = [
      { kind: "reset", stored: false },
      { kind: "html" },
      { kind: "empty", body: "{" },
      { kind: "error", name: "AccessDeniedException" },
    ];
    w.fault = () => faults.shift();
    const child = await run(
      `process.on("unhandledRejection", (reason) => console.log("unhandled", reason));
       process.on("uncaughtException", (error) => console.log("uncaught", error));
       process.on("warning", ({ message }) => /NodeVersionSupport/.test(message) || console.log("warning", message));
       const fail = () => { throw new Error("callback"); };
       const reject = async () => { throw new Error("callback"); };
       const loggers = [["g", fail], ["h", reject]].map(([name, hear]) =>
         new CloudwatchLogger(name, { ...options, onError: hear, onLoss: hear, closeTimeoutMs: 500 }));
       const dead = new CloudwatchLogger("dead", { ...options, endpoint: "http://127.0.0.1:1", onError: reject, onLoss: fail });
       for (const logger of [...loggers, dead]) for (let i = 0; i < 50; i++) logger.info("x");
       for (let i = 0; i < 8; i++) await Promise.all(loggers.map((logger) => logger.flush(100)));
       await Promise.all([...loggers.map((logger) => logger.close()), dead.close(200)]);`,
      { service: w.service },
    );
    assert.deepEqual([child.code, child.signal, child.stdout], [0, null, ""]);
  });

  check("SIGINT handlers that call process.exit", async (w) => {
    const child = await run(
      `const logger = new CloudwatchLogger("my-app", { ...options, logStreamName: "main", closeOnSignals: ["SIGINT"] });
       const plain = new CloudwatchLogger("plain", options);
       process.once("SIGINT", async () => {
         while (logger.stats().delivered === 0) await new Promise((resolve) => setTimeout(resolve, 5));
         await new Promise((resolve) => setTimeout(resolve, 50));
         console.log("cleaned up");
         clearInterval(alive);
       });
       const alive = setInterval(() => {}, 1_000);
       logger.info("a");
       console.log("ready");`,
      { service: w.service, onReady: (child) => child.kill("SIGINT") },
    );
    assert.deepEqual([child.code, child.signal, child.stdout], [0, null, "ready\ncleaned up\n"]);
    assert.equal(w.messages().length, 1);
  });

  check("days already accepted resent", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    w.service.options.sequenceTokens = true;
    w.fault = once("PutLogEvents", { kind: "reset", stored: true });
    const logger = w.logger({ format: RAW });
    for (const text of numbered(5)) logger.info(text);
    assert.equal((await logger.flush()).delivered, 5);
    assert.deepEqual(w.messages(), numbered(5));
  });

  check("the too-new index printed as a count", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    w.fault = once("PutLogEvents", { kind: "rejected", info: { tooNewLogEventStartIndex: 7 } });
    const logger = w.logger({ format: RAW });
    for (const text of numbered(10)) logger.info(text);
    assert.equal((await logger.flush()).rejectedReasons.tooNew, 3);
    assert.equal(w.losses[0]?.count, 3);
  });

  check("rejections ignored", async (w) => {
    w.service.createLogStream(GROUP, STREAM);
    w.service.options.now = () => Date.now() + 15 * 24 * HOUR_MS;
    const logger = w.logger({ format: RAW });
    logger.info("old by the service's clock");
    const { delivered, rejected } = await logger.flush();
    assert.deepEqual([delivered, rejected], [0, 1]);
    assert.deepEqual(
      w.losses.map(({ reason }) => reason),
      ["tooOld"],
    );
  });

  check("the logger's own SDK debug output logged into itself", async (w) => {
    const logger = w.logger({ format: RAW, level: "trace" });
    for (const method of ["debug", "log", "info", "warn", "error", "trace"] as const) {
      w.t.mock.method(console, method, (...args: unknown[]) => logger.info(`console.${method} ${inspect(args)}`));
    }
    w.fault = once("PutLogEvents", { kind: "throttle" });
    for (const text of ["a", "b"]) {
      logger.info(text);
      await logger.flush();
    }
    assert.deepEqual(w.messages(), ["a", "b"]);
    assert.equal(logger.stats().logged, 2);
  });

  check("a final close that drops whatever exceeds one batch", async (w) => {
    const logger = w.logger({ format: RAW, maxBatchEvents: 10 });
    for (const text of numbered(250)) logger.info(text);
    assert.equal((await logger.close()).delivered, 250);
    assert.deepEqual(w.messages(), numbered(250));
  });

  check("a final close that hangs for ever", async (w) => {
    w.clock();
    w.fault = () => ({ kind: "hang" });
    const logger = w.logger({ format: RAW, closeTimeoutMs: undefined });
    logger.info("a");
    const closing = tracked(logger.close());
    await until(() => w.service.requests.length === 1);
    w.tick(8_000);
    await until(closing);
    assert.equal(closing()?.droppedReasons.unsent, 1);
  });
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A service, the loggers that write to it, and what they reported. */
class World {
  readonly t: TestContext;
  readonly service: LocalCloudWatchLogs;
  readonly errors: CloudwatchLoggerError[] = [];
  readonly losses: Loss[] = [];
  readonly #loggers: { logger: CloudwatchLogger; options: CloudwatchLoggerOptions; losses: Loss[] }[] = [];
  #isMocked = false;
  #isOver = false;
  /** Requests that have no outcome, of which some never get an answer. */
  #sending = 0;
  #hanging = 0;

  constructor(t: TestContext, service: LocalCloudWatchLogs) {
    this.t = t;
    this.service = service;
    const world = this;
    const { send } = CloudWatchLogsClient.prototype;
    this.t.mock.method(CloudWatchLogsClient.prototype, "send", async function (this: unknown, ...values: unknown[]) {
      world.#sending++;
      try {
        return await Reflect.apply(send, this, values);
      } catch (error) {
        if ((error as Error).name === "AbortError" && world.#hanging > 0) world.#hanging--;
        throw error;
      } finally {
        world.#sending--;
      }
    });
  }

  /** A logger to the service; it flushes on demand only, unless told otherwise. */
  logger(options: CloudwatchLoggerOptions = {}): CloudwatchLogger {
    const losses: Loss[] = [];
    const logger = new CloudwatchLogger(GROUP, {
      logStreamName: STREAM,
      flushIntervalMs: 600_000,
      ...(!options.client && { endpoint: this.service.endpoint, region: "us-east-1", credentials: CREDENTIALS }),
      onError: (error) => this.errors.push(error),
      onLoss: (loss) => {
        losses.push(loss);
        this.losses.push(loss);
        conserved(logger.stats());
      },
      ...options,
    });
    this.#loggers.push({ logger, options, losses });
    return logger;
  }

  /** Mocks Date, performance.now and setTimeout; the service's clock follows. */
  clock(now = NOW): void {
    this.t.mock.timers.enable({ apis: ["setTimeout", "Date"], now });
    this.t.mock.method(performance, "now", () => Date.now() - now);
    this.service.options.now = () => Date.now();
    this.#isMocked = true;
  }

  /** No more faults. */
  heal(): void {
    delete this.service.options.fault;
  }

  /** What requests meet instead of being handled. */
  set fault(fault: (request: LocalRequest) => LocalFault | undefined) {
    this.service.options.fault = (request) => {
      const met = fault(request);
      if (met?.kind === "hang") this.#hanging++;
      return met;
    };
  }

  tick(ms: number): void {
    // A test that was given up must not move the time of the next one.
    if (this.#isOver) throw new Error("this test is over");
    this.t.mock.timers.tick(ms);
    this.verify();
  }

  /** Lets mocked time pass in steps, and the answers of the service arrive between them. */
  async pass(ms: number, stepMs = 100): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) {
      await this.settled();
      this.tick(Math.min(stepMs, ms - passed));
    }
    await this.settled();
  }

  /** Lets mocked time pass until a promise is settled. */
  async drive<T>(promise: Promise<T>, stepMs = 100): Promise<T> {
    let isDone = false;
    const mark = () => {
      isDone = true;
    };
    promise.then(mark, mark);
    for (let step = 0; !isDone; step++) {
      ok(step < 3_000, "the promise did not settle");
      await this.settled();
      if (!isDone) this.tick(stepMs);
    }
    return promise;
  }

  /** Waits, in real time, until every request that will have an answer has it: a busy machine changes nothing. */
  async settled(): Promise<void> {
    const limit = realNow() + 30_000;
    for (let idle = 0; idle < 2; idle++) {
      const before = this.service.requests.length;
      await realSleep(1);
      // The logger imports the SDK before each request, which takes real time, too.
      if (idle === 0) await import("@aws-sdk/client-cloudwatch-logs");
      if (this.#sending <= this.#hanging && this.service.requests.length === before) continue;
      idle = -1;
      ok(realNow() < limit, `${this.#sending} requests are under way, ${this.#hanging} of them hang`);
    }
  }

  /** Texts of the events of a log stream, or of the whole log group, as the service keeps them. */
  messages(logStreamName?: string): string[] {
    return this.service.events(GROUP, logStreamName).map(({ message }) => message);
  }

  /** The messages of the JSON events. */
  texts(logStreamName?: string): string[] {
    return this.messages(logStreamName).map((text) => JSON.parse(text).message);
  }

  // biome-ignore lint/suspicious/noExplicitAny: tests know what they look for
  parsed(): any[] {
    return this.messages().map((text) => JSON.parse(text));
  }

  actions(): string[] {
    return this.service.requests.map(({ action }) => action);
  }

  puts(): LocalRequest[] {
    return this.service.requests.filter(({ action }) => action === "PutLogEvents");
  }

  delivering(): LocalRequest[] {
    return this.puts().filter(({ answer }) => answer?.status === 200);
  }

  delivered(size: "events" | "batchBytes"): (number | undefined)[] {
    return this.delivering().map((request) => request[size]);
  }

  /** What holds at every moment of every test. */
  verify(): void {
    for (const { logger } of this.#loggers) conserved(logger.stats());
    assert.deepEqual(this.service.violations, []);
  }

  /** Ends the loggers; then everything must add up. */
  async end(): Promise<void> {
    this.#isOver = true;
    if (this.#isMocked) this.t.mock.timers.reset();
    this.t.mock.restoreAll();
    for (const { logger } of this.#loggers) {
      const closed = tracked(logger.close(0));
      await until(closed, "close(0)", 5_000);
    }
    await this.service.close();
    // A timer that the SDK clears later would take one of the next test's with it.
    await until(() => this.#sending === 0, "the SDK");
    this.verify();
    assert.deepEqual(
      this.actions().filter((action) => action.startsWith("Describe")),
      [],
    );
    let delivered = 0;
    for (const { logger, options, losses } of this.#loggers) {
      const after = logger.stats();
      assert.equal(after.pending, 0);
      if (!options.client) delivered += after.delivered;
      if (options.onLoss) continue;
      // Everything that is not delivered was told, but for what the caller was told by an exception.
      for (const [reason, count] of Object.entries({ ...after.rejectedReasons, ...after.droppedReasons })) {
        const told = sumOf(losses.filter((loss) => loss.reason === reason).map((loss) => loss.count));
        if (reason === "oversize") assert.equal(told, 0);
        else if (reason === "closed") ok(told <= count);
        else assert.equal(told, count, `onLoss of ${reason}`);
      }
    }
    ok(delivered <= this.service.storedEvents, `${delivered} delivered, ${this.service.storedEvents} stored`);
  }
}

/** A test with a {@link World}. */
function check(title: string, body: (world: World) => Promise<void>): void {
  it(title, async (t) => {
    const world = new World(t, await LocalCloudWatchLogs.start());
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = realSetTimeout(() => reject(new Error("the test did not end within a minute")), 60_000);
    });
    try {
      await Promise.race([body(world), late]);
    } catch (error) {
      // The first failure is the one to read.
      await world.end().catch(() => world.service.close());
      throw error;
    } finally {
      realClearTimeout(timer);
    }
    await world.end();
  });
}

/** `assert.ok` without its reading of the source for a message, which takes a minute in a file of this size. */
function ok(value: unknown, message = "expected something true"): asserts value {
  if (!value)
    throw new assert.AssertionError({ message, actual: value, expected: true, operator: "ok", stackStartFn: ok });
}

/** The law, and that reasons add up to their totals. */
function conserved(now: Stats): Stats {
  assert.equal(now.logged, now.delivered + now.rejected + now.dropped + now.pending, inspect(now));
  assert.equal(now.rejected, sumOf(Object.values(now.rejectedReasons)));
  assert.equal(now.dropped, sumOf(Object.values(now.droppedReasons)));
  for (const count of [now.logged, now.delivered, now.pending, now.requests, now.retries]) ok(count >= 0);
  return now;
}

/** The counts that the contract names. */
type Counts = Pick<Stats, (typeof COUNTS)[number]>;
const COUNTS = ["logged", "delivered", "rejected", "dropped", "pending", "requests", "retries"] as const;

function counts(now: Stats | undefined): Record<string, number> {
  return Object.fromEntries(COUNTS.map((name) => [name, now?.[name] ?? -1]));
}

/** Counts that are 0 but for what is given. */
function stats(given: Partial<Counts>): Record<string, number> {
  return { ...Object.fromEntries(COUNTS.map((name) => [name, 0])), ...given };
}

/** The error of a constructor that refuses its options. */
function refusal(options: object): Error {
  try {
    new CloudwatchLogger(null, options as CloudwatchLoggerOptions);
  } catch (error) {
    ok(error instanceof TypeError || error instanceof RangeError, inspect(error));
    return error;
  }
  return assert.fail(`accepted: ${inspect(options)}`);
}

/** A logger whose client takes everything: for properties of single events, thousands of them. */
function fakeClientLogger(options: CloudwatchLoggerOptions = {}): { logger: CloudwatchLogger; sent: LogEvent[] } {
  const sent: LogEvent[] = [];
  const client = {
    send: async ({ input }: { input: { logEvents: LogEvent[] } }) => {
      sent.push(...input.logEvents);
      return {};
    },
  };
  return { logger: new CloudwatchLogger(GROUP, { client: client as never, logStreamName: STREAM, ...options }), sent };
}

/** Mocks Date alone; returns what sets it. The service's clock stands still. */
function clockOnly(w: World): (now: number) => void {
  w.t.mock.timers.enable({ apis: ["Date"], now: NOW });
  w.service.options.now = () => NOW;
  return (now) => w.t.mock.timers.setTime(now);
}

/** A fault for the first request of an action. */
function once(action: string, fault: LocalFault): (request: LocalRequest) => LocalFault | undefined {
  let isDone = false;
  return (request) => {
    if (isDone || request.action !== action) return undefined;
    isDone = true;
    return fault;
  };
}

/** Watches the puts that are unanswered at the same time: how many, and whether two share a millisecond. */
function watchFlights(w: World, fault: (index: number, request: LocalRequest) => LocalFault | undefined) {
  const flights = { most: 0, overlaps: [] as string[] };
  let index = 0;
  const rangeOf = ({ input }: LocalRequest) => [input.logEvents[0].timestamp, input.logEvents.at(-1).timestamp];
  w.fault = (request) => {
    if (request.action !== "PutLogEvents") return undefined;
    const others = w.puts().filter((put) => put.answer === undefined && put !== request);
    flights.most = Math.max(flights.most, others.length + 1);
    const [from, to] = rangeOf(request);
    for (const other of others) {
      const [otherFrom, otherTo] = rangeOf(other);
      if (from <= otherTo && otherFrom <= to) flights.overlaps.push(`${from}–${to} and ${otherFrom}–${otherTo}`);
    }
    return fault(index++, request);
  };
  return flights;
}

/** Values that have broken loggers. */
function hostileValues(): unknown[] {
  const cycle: Record<string, unknown> = { name: "cycle" };
  cycle.self = cycle;
  const list: unknown[] = [];
  list.push(list);
  let deep: unknown = "bottom";
  for (let i = 0; i < 20_000; i++) deep = i % 2 ? [deep] : { deep };
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const revokedFunction = Proxy.revocable(() => {}, {});
  revokedFunction.revoke();
  const every = new Proxy(
    {},
    { get: boom, has: boom, ownKeys: boom, getPrototypeOf: boom, getOwnPropertyDescriptor: boom },
  );
  const badError = new Error("bad");
  for (const name of ["stack", "message", "cause"])
    Object.defineProperty(badError, name, { get: boom, enumerable: true });
  const selfCaused = new Error("self");
  selfCaused.cause = selfCaused;
  return [
    ...[undefined, null, true, 0, -0, Number.NaN, 10n, "", "\ud800", Symbol("s"), Symbol(), boom, class {}, () => {}],
    ...[cycle, list, deep, revoked.proxy, revokedFunction.proxy, every, badError, selfCaused],
    ...[new Map([[cycle, list]]), new Set([cycle]), new WeakMap(), new Date(Number.NaN), /x/g, Buffer.alloc(3)],
    ...[
      new Uint8Array(2),
      new BigInt64Array(2),
      new ArrayBuffer(2),
      Promise.resolve(),
      new URL("http://h/"),
      globalThis,
    ],
    ...[
      Object(1n),
      Object("text"),
      Object(Symbol("s")),
      Object.create(null),
      new Error("x", { cause: cycle }),
      process,
    ],
    ...[
      new AggregateError([every, selfCaused]),
      { toJSON: boom },
      { toString: boom, valueOf: boom },
      {
        get bad() {
          return boom();
        },
      },
    ],
    ...[{ [Symbol.toPrimitive]: boom }, { constructor: null }, new Array(3), { toJSON: () => cycle }, JSON, Math],
    ...[{ message: every, level: revoked.proxy, error: badError }, Array.from({ length: 3 }), { length: 5 }],
  ];
}

function boom(): never {
  throw new Error("boom");
}

/** What is printed on the console while a test runs, line by line. */
function captureConsole(t: TestContext): string[] {
  const lines: string[] = [];
  for (const method of ["debug", "log", "info", "warn", "error", "trace"] as const) {
    t.mock.method(console, method, (format: string, ...args: unknown[]) =>
      lines.push(format === "%s" ? String(args[0]) : format),
    );
  }
  return lines;
}

interface RunOptions {
  service?: LocalCloudWatchLogs;
  env?: Record<string, string>;
  /** In a directory from where no SDK can be found. */
  withoutSdk?: boolean;
  /** Called when the program printed "ready". */
  onReady?: (child: ChildProcess) => unknown;
}

/** Runs a program in a process of its own; `CloudwatchLogger` and `options` are at hand. Killed after 50 s. */
async function run(script: string, { service, env = {}, withoutSdk = false, onReady }: RunOptions = {}) {
  const directory = mkdtempSync(join(tmpdir(), "cwlogger-"));
  let file = new URL("./cloudwatch.ts", import.meta.url).href;
  if (withoutSdk) {
    file = join(directory, "cloudwatch.mts");
    copyFileSync(new URL("./cloudwatch.ts", import.meta.url), file);
  }
  const options = {
    endpoint: service?.endpoint ?? "http://127.0.0.1:1",
    region: "us-east-1",
    credentials: CREDENTIALS,
  };
  const { endpoint, credentials } = options;
  const given = env.AWS_REGION || script.includes("{ endpoint") ? { endpoint, credentials } : options;
  const program = `import { CloudwatchLogger } from ${JSON.stringify(file)};
    const options = ${JSON.stringify(given)};
    ${script}`;
  const child = spawn(
    process.execPath,
    ["--no-warnings", "--import", import.meta.resolve("tsx"), "--input-type=module", "-e", program],
    {
      cwd: directory,
      env: { PATH: process.env.PATH, HOME: directory, AWS_EC2_METADATA_DISABLED: "true", ...env },
    },
  );
  const output = { stdout: "", stderr: "" };
  let isReady = false;
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
      if (isReady || !output.stdout.includes("ready\n")) return;
      isReady = true;
      onReady?.(child);
    });
  }
  const killer = realSetTimeout(() => child.kill("SIGKILL"), 50_000);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once("error", reject).once("close", (code, signal) => resolve([code, signal]));
  });
  realClearTimeout(killer);
  rmSync(directory, { recursive: true, force: true });
  assert.notEqual(signal, "SIGKILL", `still running after 50 s\n${output.stdout}${output.stderr}`);
  return { code, signal, ...output };
}

function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "cwlogger-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A look at a promise's value that does not wait. */
function tracked<T>(promise: Promise<T>): () => T | undefined {
  let settled: T | undefined;
  void promise.then((value) => {
    settled = value;
  });
  return () => settled;
}

/** Waits for a condition, in real time. */
async function until(condition: () => unknown, what = String(condition), limitMs = 20_000): Promise<void> {
  const limit = realNow() + limitMs;
  while (!condition()) {
    ok(realNow() < limit, `still waiting for ${what}`);
    await realSleep(1);
  }
}

/** Enough turns of the event loop for whatever was to happen at once. */
async function quiet(turns = 12): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await realSleep(1);
}

function realSleep(ms: number): Promise<void> {
  return new Promise((resolve) => void realSetTimeout(resolve, ms));
}

/** A message that makes an event of exactly `bytes`, beginning with a tag. */
function sized(bytes: number, tag: unknown): string {
  return `${tag} `.padEnd(bytes - OVERHEAD_BYTES, "x");
}

function tagOf(message: string): string {
  return message.split(" ", 1)[0] ?? "";
}

function tags(letter: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${letter}${i}`);
}

/** What UTF-8 makes of a text. */
function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}

/** A text without the time of day at its beginning. */
function stamped(text = ""): string {
  return text.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z/, "TIME");
}

function upper(text: string): string {
  return text.toUpperCase();
}

function sumOf(counts: number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
