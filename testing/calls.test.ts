/** Every shape of a log call that the contract names, whichever habit it comes from, and the event that it makes. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it, type TestContext } from "node:test";
import { format, inspect, stripVTControlCharacters } from "node:util";
import fc from "fast-check";
import {
  CloudwatchLogger,
  type CloudwatchLoggerError,
  type CloudwatchLoggerOptions,
  type Level,
  type LogEvent,
  type Loss,
} from "../cloudwatch.js";
import { LocalCloudWatchLogs } from "./local-cloudwatch.js";
import { conserved } from "./support.js";

const GROUP = "my-app";
const LEVEL_NAMES = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
const METHODS = [...LEVEL_NAMES, "log"] as const;

/** Log methods as JavaScript sees them. */
type Calls = Record<(typeof METHODS)[number], (...values: unknown[]) => void>;

const declined = Object.assign(new RangeError("card declined", { cause: new Error("no cover") }), { code: "E_CARD" });
const other = new TypeError("other");

/** What an event says of an Error. */
function told(error: Error): object {
  const { name, message, stack, cause, ...more } = error as Error & { code?: string };
  return { name, message, stack, ...(cause instanceof Error && { cause: told(cause) }), ...more };
}

class Point {
  x = 1;
  y = 2;
}

type Row = [title: string, call: (log: Calls) => void, event: object];

// biome-ignore format: a table
const ROWS: Row[] = [
  // As ever.
  ["text", (log) => log.info("hello"), { message: "hello" }],
  ["text and fields", (log) => log.info("hello", { a: 1 }), { message: "hello", a: 1 }],
  ["fields alone have no message", (log) => log.info({ a: 1 }), { a: 1 }],
  ["no fields and no message", (log) => log.info({}), {}],
  ["an object's message", (log) => log.info({ a: 1, message: "m" }), { message: "m", a: 1 }],
  ["an Error", (log) => log.error(declined), { level: "ERROR", message: "card declined", error: told(declined) }],
  ["an Error and fields", (log) => log.error(declined, { a: 1 }), { level: "ERROR", message: "card declined", error: told(declined), a: 1 }],
  ["text and an Error", (log) => log.error("could not pay", declined), { level: "ERROR", message: "could not pay", error: told(declined) }],
  ["two objects", (log) => log.info({ a: 1, message: "m" }, { b: 2 }), { message: "m", a: 1, b: 2 }],
  ["a class instance is fields", (log) => log.info("at", new Point()), { message: "at", x: 1, y: 2 }],
  ["fields without a prototype", (log) => log.info("m", Object.assign(Object.create(null), { a: 1 })), { message: "m", a: 1 }],
  ["undefined behind", (log) => log.info("hello", undefined), { message: "hello" }],
  ["undefined behind fields", (log) => log.info("hello", { a: 1 }, undefined), { message: "hello", a: 1 }],
  ["undefined behind an object", (log) => log.info({ a: 1 }, undefined), { a: 1 }],
  ["undefined between", (log) => log.info("a", undefined, 3), { message: "a undefined 3" }],
  ["a percent sign is no placeholder", (log) => log.info("100% of %s", { a: 1 }), { message: "100% of %s", a: 1 }],
  // pino's order.
  ["(object, string)", (log) => log.info({ orderId: 1 }, "order placed"), { message: "order placed", orderId: 1 }],
  ["(object, empty string)", (log) => log.info({ orderId: 1 }, ""), { message: "", orderId: 1 }],
  ["(Error, string)", (log) => log.error(declined, "could not pay"), { level: "ERROR", message: "could not pay", error: told(declined) }],
  ["({ err }, string)", (log) => log.error({ err: declined, orderId: 1 }, "could not pay"), { level: "ERROR", message: "could not pay", error: told(declined), orderId: 1 }],
  ["({ message }, string) keeps both", (log) => log.info({ message: "own", a: 1 }, "m"), { message: "m", message_: "own", a: 1 }],
  // console.log's.
  ["%s and %d", (log) => log.info("user %s in %d", "bob", 3), { message: "user bob in 3" }],
  ["%s alone", (log) => log.info("user %s", "bob"), { message: "user bob" }],
  ["%i, %f, %j, %o, %O, %%", (log) => log.info("%i %f %j %o %O %%", 1.5, 2.5, { a: 1 }, { b: 2 }, { c: 3 }), { message: format("%i %f %j %o %O %%", 1.5, 2.5, { a: 1 }, { b: 2 }, { c: 3 }) }],
  ["more values than placeholders", (log) => log.warn("%s", "a", "b", 1), { level: "WARN", message: "a b 1" }],
  ["more placeholders than values", (log) => log.info("%s %s", "a"), { message: "a %s" }],
  ["two texts", (log) => log.info("a", "b"), { message: "a b" }],
  ["a number behind", (log) => log.info("count", 3), { message: "count 3" }],
  ["zero, false, empty behind", (log) => log.info("x", 0, false, ""), { message: "x 0 false " }],
  ["a bigint behind", (log) => log.info("count", 3n), { message: "count 3n" }],
  ["a symbol behind", (log) => log.info("s", Symbol("x")), { message: "s Symbol(x)" }],
  ["NaN behind", (log) => log.info("n", Number.NaN), { message: "n NaN" }],
  ["two objects behind", (log) => log.info("a", { x: 1 }, { y: 2 }), { message: "a { x: 1 } { y: 2 }" }],
  ["numbers alone", (log) => log.info(1, 2), { message: "1 2" }],
  ["an object and a number", (log) => log.info({ a: 1 }, 5), { message: "{ a: 1 } 5" }],
  ["an Error among more", (log) => log.error("failed:", declined, { orderId: 1 }), { level: "ERROR", message: format("failed:", declined, { orderId: 1 }), error: told(declined) }],
  ["the first Error of several", (log) => log.error("a", 1, declined, other), { level: "ERROR", message: format("a", 1, declined, other), error: told(declined) }],
  ["an Error in a placeholder", (log) => log.warn("%s: %s", "pay", declined), { level: "WARN", message: format("%s: %s", "pay", declined), error: told(declined) }],
  // Values that are no fields.
  ["an array behind", (log) => log.info("list", [1, "a"]), { message: "list [ 1, 'a' ]" }],
  ["a Map behind", (log) => log.info("map", new Map([["k", 1]])), { message: "map Map(1) { 'k' => 1 }" }],
  ["a Set behind", (log) => log.info("set", new Set([7])), { message: "set Set(1) { 7 }" }],
  ["a function behind", (log) => log.info("call", function pay() {}), { message: "call [Function: pay]" }],
  ["a class behind", (log) => log.info("class", Point), { message: "class [class Point]" }],
  ["a Date behind", (log) => log.info("at", new Date(0)), { message: "at 1970-01-01T00:00:00.000Z" }],
  ["a RegExp behind", (log) => log.info("by", /x/g), { message: "by /x/g" }],
  ["an array, then text", (log) => log.info([1, 2], "text"), { message: "[ 1, 2 ] text" }],
  ["a Map, then text", (log) => log.info(new Map([["k", 1]]), "text"), { message: "Map(1) { 'k' => 1 } text" }],
  // log()
  ["log(level, text)", (log) => log.log("warn", "m"), { level: "WARN", message: "m" }],
  ["log(level, text, fields)", (log) => log.log("error", "m", { a: 1 }), { level: "ERROR", message: "m", a: 1 }],
  ["log(level, object, text)", (log) => log.log("error", { a: 1 }, "m"), { level: "ERROR", message: "m", a: 1 }],
  ["log(level, Error, text)", (log) => log.log("error", declined, "m"), { level: "ERROR", message: "m", error: told(declined) }],
  ["log(level, text, values)", (log) => log.log("warn", "user %s in %d", "bob", 3), { level: "WARN", message: "user bob in 3" }],
  ["log(text)", (log) => log.log("hello"), { message: "hello" }],
  ["log(text, fields)", (log) => log.log("hello", { a: 1 }), { message: "hello", a: 1 }],
  ["log(text, text), as NestJS does", (log) => log.log("Starting Nest application...", "NestFactory"), { message: "Starting Nest application... NestFactory" }],
  ["log(text with %s, value)", (log) => log.log("user %s", "bob"), { message: "user bob" }],
  ["log(Error)", (log) => log.log(declined), { message: "card declined", error: told(declined) }],
  ["log(object)", (log) => log.log({ a: 1 }), { a: 1 }],
  ["log(object, text)", (log) => log.log({ a: 1 }, "m"), { message: "m", a: 1 }],
  ["log(number)", (log) => log.log(35), { message: "35" }],
  ["log(number, text)", (log) => log.log(35, "m"), { message: "35 m" }],
  ["log(no level, text)", (log) => log.log("verbose", "m"), { message: "verbose m" }],
  ["log(\"silent\", text)", (log) => log.log("silent", "m"), { message: "silent m" }],
  ["log(\"__proto__\", text)", (log) => log.log("__proto__", "m"), { message: "__proto__ m" }],
  ["log({ level, message })", (log) => log.log({ level: "error", message: "x" }), { level: "ERROR", message: "x" }],
  ["log({ level, message, fields })", (log) => log.log({ level: "WARNING", message: "x", a: 1 }), { level: "WARN", message: "x", a: 1 }],
  ["log({ level, err })", (log) => log.log({ level: "error", message: "x", err: declined }), { level: "ERROR", message: "x", error: told(declined) }],
  ["log({ level }) alone", (log) => log.log({ level: "fatal" }), { level: "FATAL" }],
  ["log({ level: no level })", (log) => log.log({ level: "loud", message: "x" }), { message: "x", level_: "loud" }],
  ...LEVEL_NAMES.map((level): Row => [`log("${level}") is a message`, (log) => log.log(level), { message: level }]),
  ...[...LEVEL_NAMES.map((level) => level.toUpperCase()), "Warn", "dEbug"].map((level): Row => [`log("${level}", text)`, (log) => log.log(level, "m"), { level: level.toUpperCase(), message: "m" }]),
  ...["warning", "Warning", "WARNING"].map((level): Row => [`log("${level}", text)`, (log) => log.log(level, "m"), { level: "WARN", message: "m" }]),
  // Errors in fields.
  ["a field error", (log) => log.error("failed", { error: declined, a: 1 }), { level: "ERROR", message: "failed", error: told(declined), a: 1 }],
  ["a field err", (log) => log.error("failed", { a: 1, err: declined }), { level: "ERROR", message: "failed", error: told(declined), a: 1 }],
  ["error and err", (log) => log.error("failed", { error: declined, err: other }), { level: "ERROR", message: "failed", error: told(declined), err: told(other) }],
  ["an Error, and a field error", (log) => log.error(declined, { error: other }), { level: "ERROR", message: "card declined", error: told(declined), error_: told(other) }],
  ["an Error, and a field err", (log) => log.error(declined, { err: other }), { level: "ERROR", message: "card declined", error: told(declined), err: told(other) }],
  ["an object's err", (log) => log.error({ err: declined, message: "m" }), { level: "ERROR", message: "m", error: told(declined) }],
  ["a field error that is none", (log) => log.error("failed", { error: "text", err: 5 }), { level: "ERROR", message: "failed", error_: "text", err: 5 }],
  ["an Error in another field", (log) => log.error("failed", { reason: other }), { level: "ERROR", message: "failed", reason: told(other) }],
  // Names and characters.
  ["names of the event's own", (log) => log.info("m", { level: 1, message: 2, error: 3, part: 4, truncatedBytes: 5 }), { message: "m", level_: 1, message_: 2, error_: 3, part_: 4, truncatedBytes_: 5 }],
  ["those names deeper", (log) => log.info("m", { a: { level: 1, error: 2 } }), { message: "m", a: { level: 1, error: 2 } }],
  ["a lone surrogate", (log) => log.info("a\ud800b", { "k\udc00": "\udfff😀" }), { message: "a\ud800b", "k\udc00": "\udfff😀" }],
];

/** Each text is JSON as JSON.stringify writes it, says just this, and begins with `level`, `message` and `error`. */
function same(texts: string[], events: object[]): void {
  const parsed = texts.map((text) => JSON.parse(text));
  assert.deepEqual(
    parsed,
    events.map((event) => JSON.parse(jsonOf(event as Record<string, unknown>))),
  );
  for (const [index, text] of texts.entries()) {
    assert.equal(text, JSON.stringify(parsed[index]));
    const first = ["level", "message", "error"].filter((name) => name in parsed[index]);
    assert.deepEqual(Object.keys(parsed[index]).slice(0, first.length), first);
  }
}

function jsonOf({ level = "INFO", message, error, ...fields }: Record<string, unknown>): string {
  return JSON.stringify({ level, message, error, ...fields });
}

describe("the shapes of a log call", () => {
  for (const [title, call, event] of ROWS) {
    it(title, async () => {
      const { logger, calls, texts } = recorded({ level: "trace" });
      call(calls);
      conserved(await logger.close());
      same(texts(), [event]);
    });
  }

  it("all of them, one logger, over HTTP: in order, each as it was called", async (t) => {
    const service = await LocalCloudWatchLogs.start();
    t.after(() => service.close());
    const logger = new CloudwatchLogger(GROUP, {
      endpoint: service.endpoint,
      region: "us-east-1",
      credentials: { accessKeyId: "AKIDTEST", secretAccessKey: "correct-horse" },
      level: "trace",
    });
    for (const [, call] of ROWS) call(logger as unknown as Calls);
    assert.equal((await logger.close()).delivered, ROWS.length);
    same(
      service.events(GROUP).map(({ message }) => message),
      ROWS.map(([, , event]) => event),
    );
    assert.deepEqual(service.violations, []);
  });

  it("what util.format reads in another way is logged at least: no argument, null, an object without fields", async () => {
    const { logger, calls, texts } = recorded();
    calls.info();
    calls.log();
    calls.info(null, null);
    calls.info("to", new URL("http://host/path"));
    calls.info("wait", Promise.resolve("x"));
    calls.info("error twice", other, declined);
    calls.error(declined, other);
    calls.error(declined, "could not pay", { orderId: 17 });
    calls.info({ orderId: 17 }, "user %s", "bob");
    assert.equal((await logger.close()).delivered, 9);
    const [, , , url = "", wait = "", twice = "", both = "", three = "", pino = ""] = texts();
    assert.match(url, /to.*http:\/\/host\/path/);
    assert.match(wait, /wait.*Promise/);
    for (const text of [twice, both]) assert.match(text, /(?=.*other)(?=.*card declined)/);
    assert.equal(JSON.parse(both).error.name, "RangeError");
    assert.match(three, /(?=.*could not pay)(?=.*orderId)(?=.*17)/);
    assert.equal(JSON.parse(three).error.name, "RangeError");
    assert.match(pino, /(?=.*orderId)(?=.*17)(?=.*user)(?=.*bob)/);
  });

  for (const shape of ["json", "text", "{level} {message}"]) {
    it(`no argument of a call is lost, in whatever order they come: format ${shape}`, async () => {
      const { logger, calls, texts } = recorded({ level: "trace", format: shape });
      let next = 0;
      const marked = fc.constantFrom<(mark: string) => unknown>(
        (mark) => mark,
        (mark) => `%o ${mark}`,
        (mark) => ({ key: mark }),
        (mark) => ({ [mark]: 1, key: [mark] }),
        (mark) => ({ message: mark }),
        (mark) => ({ err: new Error(mark) }),
        (mark) => ({ error: new Error(mark), level: "x" }),
        (mark) => [mark],
        (mark) => new Map([["key", mark]]),
        (mark) => new Map([[{}, mark]]),
        (mark) => new Set([mark]),
        (mark) => new Error(mark),
        (mark) => Object.assign(new TypeError("x"), { detail: mark }),
        (mark) => Object.assign(new Point(), { mark }),
        (mark) => Symbol(mark),
        (mark) => new Date(Date.UTC(2000, 0, 1) + Number(mark.slice(1)) * 1_000),
        (mark) => BigInt(mark.slice(1)) + 10n ** 20n,
      );
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...METHODS),
          fc.array(marked, { minLength: 1, maxLength: 5 }),
          async (method, makers) => {
            const values = makers.map((make) => make(`m${next++}`));
            const before = texts().length;
            calls[method](...values);
            await logger.flush();
            assert.equal(texts().length, before + 1);
            const text = texts()[before] ?? "";
            for (const [index, value] of values.entries()) {
              const mark = `m${next - values.length + index}`;
              const shown =
                value instanceof Date ? value.toISOString() : typeof value === "bigint" ? String(value) : mark;
              assert.ok(text.includes(shown), `${shown} of ${inspect(values)} is missing in ${text}`);
            }
          },
        ),
        { numRuns: 400, seed: 11 },
      );
      await logger.close();
    });
  }
});

describe("levels", () => {
  const spellings: [given: string | undefined, level: Level | "silent"][] = [
    ...[...LEVEL_NAMES, "silent" as const].flatMap((level): [string, Level | "silent"][] => [
      [level, level],
      [level.toUpperCase(), level],
      [`${level.slice(0, 1).toUpperCase()}${level.slice(1)}`, level],
    ]),
    ["warning", "warn"],
    ["WARNING", "warn"],
    ["", "info"],
    [undefined, "info"],
  ];
  for (const [given, level] of spellings) {
    it(`the option level ${inspect(given)} is ${level}, also when it is set later`, async () => {
      const { logger, calls, texts } = recorded({ level: given } as CloudwatchLoggerOptions);
      assert.equal(logger.level, level);
      const later = recorded({ level: level === "fatal" ? "trace" : "fatal" });
      if (given !== undefined) {
        Object.assign(later.logger, { level: given });
        assert.equal(later.logger.level, level);
      }
      const child = logger.child({}, { level: given } as { level: Level });
      assert.equal(child.level, level);
      for (const name of LEVEL_NAMES) calls.log(name, name);
      await logger.close();
      const passing = level === "silent" ? [] : LEVEL_NAMES.slice(LEVEL_NAMES.indexOf(level));
      assert.deepEqual(
        texts().map((text) => JSON.parse(text).message),
        passing,
      );
      await later.logger.close();
    });
  }

  it("what is no level is refused: by the constructor, and when it is set", () => {
    for (const level of ["loud", " info", "INFO ", 30, null, {}, "__proto__"]) {
      const options = { level } as unknown as CloudwatchLoggerOptions;
      assert.throws(() => new CloudwatchLogger(null, options), /"level".*(one of|string)/, inspect(level));
      const logger = new CloudwatchLogger(null);
      assert.throws(() => Object.assign(logger, { level }), /"level"/, inspect(level));
      assert.equal(logger.level, "info");
    }
  });

  it("the threshold holds for every shape, in any case", async () => {
    const { logger, calls, texts } = recorded({ level: "error" });
    calls.log("WARNING", "no");
    calls.log({ level: "Warn", message: "no" });
    calls.log("no");
    calls.log("no", "no");
    calls.info("%s", "no");
    calls.log("Error", "yes");
    calls.log({ level: "FATAL", message: "yes" });
    assert.equal(logger.isLevelEnabled("WARNING" as Level), false);
    assert.equal(logger.isLevelEnabled("ERROR" as Level), true);
    assert.equal(logger.isLevelEnabled("warn"), false);
    assert.equal((await logger.close()).logged, 2);
    assert.deepEqual(texts(), ['{"level":"ERROR","message":"yes"}', '{"level":"FATAL","message":"yes"}']);
  });

  it("a child without a level follows its parent, one with a level does not", async () => {
    const { logger, texts } = recorded({ level: "warn" });
    const follower = logger.child({ child: "follower" });
    const own = logger.child({ child: "own" }, { level: "DEBUG" as Level });
    follower.info("no");
    own.debug("own");
    logger.level = "debug";
    follower.debug("follower");
    own.level = "silent";
    own.fatal("no");
    assert.deepEqual([logger.level, follower.level, own.level], ["debug", "debug", "silent"]);
    await logger.close();
    assert.deepEqual(
      texts().map((text) => JSON.parse(text).message),
      ["own", "follower"],
    );
  });
});

describe("log methods without their logger", () => {
  it("each works unbound, those of a child too", async () => {
    const { logger, texts } = recorded({ level: "trace" });
    const child = logger.child({ requestId: "r" });
    for (const target of [logger, child]) {
      const { trace, debug, info, warn, error, fatal, log } = target as unknown as Calls;
      for (const [index, method] of [trace, debug, info, warn, error, fatal].entries()) method(`${index}`);
      log("warn", "log");
    }
    await logger.close();
    const expected = [...LEVEL_NAMES.map((level, index) => [level.toUpperCase(), `${index}`]), ["WARN", "log"]];
    assert.deepEqual(texts(), [
      ...expected.map(([level, message]) => JSON.stringify({ level, message })),
      ...expected.map(([level, message]) => JSON.stringify({ level, message, requestId: "r" })),
    ]);
  });

  it("promise.catch(logger.error), emitter.on(…), setTimeout(…) and forEach(…)", async () => {
    const { logger, calls, texts } = recorded();
    await Promise.reject(declined).catch(logger.error);
    new EventEmitter().on("error", logger.error).emit("error", declined);
    ["a"].forEach(calls.warn);
    await new Promise<void>((resolve) => {
      setTimeout(calls.info, 1, "later", { n: 1 });
      setTimeout(resolve, 2);
    });
    await logger.close();
    const failed = jsonOf({ level: "ERROR", message: "card declined", error: told(declined) });
    assert.deepEqual(texts(), [
      failed,
      failed,
      '{"level":"WARN","message":"a 0 [ \'a\' ]"}',
      '{"level":"INFO","message":"later","n":1}',
    ]);
  });

  it("a test may replace them, and a subclass override them and call the original", async (t) => {
    const { logger, texts } = recorded();
    const replaced = t.mock.method(logger, "info", () => {});
    logger.info("not sent");
    assert.equal(replaced.mock.callCount(), 1);
    replaced.mock.restore();
    logger.info("sent");
    await logger.close();
    assert.deepEqual(texts(), ['{"level":"INFO","message":"sent"}']);
    const sent: LogEvent[] = [];
    // biome-ignore lint/suspicious/noExplicitAny: as JavaScript sees it
    const Base: any = CloudwatchLogger;
    class Loud extends Base {
      info(message: string) {
        super.info(message.toUpperCase());
      }
    }
    const options: CloudwatchLoggerOptions = { client: double(sent) };
    const loud = Reflect.construct(Loud, [GROUP, options]);
    loud.info("override");
    await loud.close();
    assert.deepEqual(
      sent.map(({ message }) => message),
      ['{"level":"INFO","message":"OVERRIDE"}'],
    );
  });
});

/** Calls that a TypeScript user writes; only the compiler reads this. */
export function compiles(logger: CloudwatchLogger, thrown: unknown, promise: Promise<void>): void {
  new CloudwatchLogger("x", { level: process.env.LOG_LEVEL, fields: () => ({ traceId: "t" }), console: "text" });
  logger.info({ orderId: 1 }, "order placed");
  logger.info("user %s in %d", "bob", 3);
  logger.error(thrown, "could not pay");
  logger.error("could not pay", { error: thrown });
  logger.error("could not pay", thrown);
  logger.log("warn", "text", { a: 1 });
  logger.log("text");
  logger.log("Starting…", "NestFactory");
  logger.log({ level: "error", message: "x" });
  promise.catch(logger.error);
}

// ── Fields of the moment ────────────────────────────────────────────────────────────────────────────────────────────

describe("fields as a function", () => {
  it("is asked once for each event, and its fields come before the call's own", async () => {
    let asked = 0;
    const { logger, texts } = recorded({ fields: () => ({ traceId: `t${++asked}`, a: 1 }) });
    logger.info("one", { a: 2 });
    logger.debug("filtered");
    logger.child({ child: true }).error(other);
    logger.withFields({ requestId: "r" }, () => logger.log("warn", { b: 3 }));
    const stream = logger.stream();
    stream.write({ level: 30, msg: "record", time: new Date() } as never);
    await logger.close();
    assert.equal(asked, 4);
    const parsed = texts().map((text) => JSON.parse(text));
    assert.deepEqual(parsed, [
      { level: "INFO", message: "one", traceId: "t1", a: 2 },
      { level: "ERROR", message: "other", error: told(other), traceId: "t2", a: 1, child: true },
      { level: "WARN", traceId: "t3", a: 1, requestId: "r", b: 3 },
      { level: "INFO", message: "record", traceId: "t4", a: 1 },
    ]);
    assert.deepEqual(Object.keys(parsed[1] ?? {}).slice(0, 3), ["level", "message", "error"]);
  });

  it("is asked once for an event that is split, cut or refused", async () => {
    for (const overflow of ["split", "truncate", "error"] as const) {
      let asked = 0;
      const options = { overflow, maxEventBytes: 256, fields: () => ({ asked: ++asked }) };
      const { logger, texts } = recorded(options);
      const log = () => logger.info("x".repeat(1_000));
      if (overflow === "error") assert.throws(log, { code: "ERR_OVERSIZE" });
      else log();
      await logger.close();
      assert.equal(asked, 1, overflow);
      for (const text of texts()) assert.equal(JSON.parse(text).asked, 1);
    }
  });

  const failing: [title: string, fields: () => unknown][] = [
    ["throws", () => boom()],
    ["throws undefined", () => throwNothing()],
  ];
  for (const [title, fields] of failing) {
    it(`where it ${title}, events go without and onError hears once`, async () => {
      const { logger, texts, errors } = recorded({ fields } as CloudwatchLoggerOptions);
      for (const text of ["a", "b", "c"]) logger.info(text, { n: 1 });
      logger.child({ child: true }).info("d");
      assert.equal((await logger.close()).delivered, 4);
      assert.deepEqual(texts(), [
        ...["a", "b", "c"].map((message) => JSON.stringify({ level: "INFO", message, n: 1 })),
        '{"level":"INFO","message":"d","child":true}',
      ]);
      assert.equal(errors.length, 1, inspect(errors));
    });
  }

  it("where it gives no object, the event still goes", async () => {
    const late = () => Promise.reject(new Error("late"));
    for (const value of [undefined, null, 5, "text", [1], late, new Error("error")]) {
      const fields = () => (value === late ? late() : value);
      const { logger, texts } = recorded({ fields } as unknown as CloudwatchLoggerOptions);
      logger.info("m", { a: 1 });
      assert.equal((await logger.close()).delivered, 1);
      const { level, message, a } = JSON.parse(texts()[0] ?? "");
      assert.deepEqual([level, message, a], ["INFO", "m", 1], inspect(value));
    }
  });
});

// ── Console ─────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("console", () => {
  const LINE = /^\d\d:\d\d:\d\d\.\d{3} INFO order placed \{"orderId":17\}$/;

  for (const shape of ["json", "text", "{level} {message} {orderId}"]) {
    it(`true prints what is sent, "text" a line for people: format ${shape}`, async (t) => {
      terminal(t, false);
      const printed = prints(t);
      for (const group of [GROUP, null]) {
        const sent: LogEvent[] = [];
        const client = double(sent);
        const as = async (options: CloudwatchLoggerOptions) => {
          printed.length = 0;
          const logger = new CloudwatchLogger(group, { format: shape, ...(group && { client }), ...options });
          logger.info("order placed", { orderId: 17 });
          assert.equal((await logger.close()).delivered, 1);
          return printed.map(({ text }) => text);
        };
        const inFormat =
          {
            json: '{"level":"INFO","message":"order placed","orderId":17}',
            text: 'INFO order placed {"orderId":17}',
          }[shape] ?? "INFO order placed 17";
        assert.deepEqual(await as({ console: true }), [inFormat]);
        const [line = "", ...more] = await as({ console: "text" } as object);
        assert.match(line, LINE);
        assert.deepEqual(more, []);
        assert.deepEqual(await as({}), group === null ? [inFormat] : []);
        for (const { message } of sent) assert.equal(message, inFormat);
        assert.equal(sent.length, group === null ? 0 : 3);
      }
    });
  }

  it("levels, Errors and fields are in the line; it has colours on a terminal only", async (t) => {
    const printed = prints(t);
    for (const isTerminal of [false, true]) {
      terminal(t, isTerminal);
      printed.length = 0;
      const { logger } = recorded({ console: "text", level: "trace" } as object);
      const names = LEVEL_NAMES.map((level) => level.toUpperCase());
      for (const level of LEVEL_NAMES) logger[level](`at ${level}`, { n: 1 });
      logger.error("could not pay", declined);
      await logger.close();
      assert.equal(printed.length, names.length + 1);
      const lines = printed.map(({ text }) => stripVTControlCharacters(text));
      for (const [index, name] of names.entries())
        assert.match(lines[index] ?? "", new RegExp(`^[\\d:.]{12} ${name} +at ${name.toLowerCase()} \\{"n":1\\}$`));
      assert.match(lines.at(-1) ?? "", /^[\d:.]{12} ERROR .*could not pay/);
      assert.match(lines.at(-1) ?? "", /RangeError: card declined\s+at .*calls\.test/s);
      const isColoured = printed.some(({ text }, index) => text !== lines[index]);
      assert.equal(isColoured, isTerminal);
    }
  });

  it("a value shows no escape sequence of its own, also where there are colours", async (t) => {
    const printed = prints(t);
    terminal(t, true);
    const { logger } = recorded({ console: "text" } as object);
    logger.info("\u001b[2J\u009bowned", { field: "\u001b]0;owned\u0007" });
    await logger.close();
    const [{ text } = { text: "" }] = printed;
    assert.match(text, /owned/);
    for (const sequence of ["\u001b[2J", "\u001b]", "\u009b", "\u0007"]) assert.ok(!text.includes(sequence), text);
  });

  it("the time of the line is the time of the call", async (t) => {
    terminal(t, false);
    const printed = prints(t);
    t.mock.timers.enable({ apis: ["Date"], now: Date.UTC(2026, 0, 31, 12, 1, 2, 123) });
    const logger = new CloudwatchLogger(null, { console: "text" } as object);
    logger.info("order placed", { orderId: 17 });
    t.mock.timers.reset();
    await logger.close();
    assert.match(printed[0]?.text ?? "", /^\d\d:\d\d:02\.123 INFO order placed/);
  });

  it("anything else is refused", () => {
    for (const value of ["json", "", 1, null]) {
      assert.throws(() => new CloudwatchLogger(null, { console: value } as object), /"console"/, inspect(value));
    }
  });
});

// ── Redaction ───────────────────────────────────────────────────────────────────────────────────────────────────────

describe("redact, by every way in", () => {
  const SECRET = "s3cr3t";
  const password = SECRET;
  const withSecret = () => Object.assign(new Error("kept"), { password, cause: { deep: [{ password }] } });
  type Way = (logger: CloudwatchLogger, calls: Calls) => unknown;
  // biome-ignore format: a table
  const ways: Record<string, Way> = {
    "fields": (logger) => logger.info("kept", { password, list: [{ password }], deep: { deep: [{ password }] } }),
    "an object": (logger) => logger.info({ message: "kept", password }),
    "an object whose message is one": (logger) => logger.info({ message: { kept: 1, password } }),
    "a path, * for one level": (logger) => logger.info("kept", { users: { ada: { pin: SECRET } } }),
    "a path through arrays and Maps": (logger) => { logger.info("kept", { users: [{ pin: SECRET }] }); logger.info("kept", { users: new Map([["ada", { pin: SECRET }]]) }); },
    "an Error's properties": (logger) => logger.error(withSecret()),
    "the errors of an AggregateError": (logger) => logger.error(new AggregateError([withSecret()], "kept")),
    "an Error in a field": (logger) => { logger.error("kept", { err: withSecret() }); logger.error("kept", { reason: [withSecret()] }); },
    "a Map": (logger) => logger.info("kept", { map: new Map([["password", SECRET]]) }),
    "a Map with a key that is no text": (logger) => logger.info("kept", { map: new Map<unknown, unknown>([[1, "one"], ["password", SECRET]]) }),
    "a Map in a Map": (logger) => logger.info("kept", { map: new Map([[{}, new Map<unknown, unknown>([[2, { password }], ["password", [SECRET]]])]]) }),
    "a Map whose keys are objects": (logger) => logger.info("kept", { map: new Map([[{ password }, { password }]]) }),
    "a Map as the message": (logger) => logger.info(new Map<unknown, unknown>([["kept", 1], [1, { password }], ["password", SECRET]])),
    "a Set, an array as the message": (logger) => { logger.info(new Set(["kept", { password }])); logger.info(["kept", { password }]); },
    "toJSON and getters": (logger) => logger.info("kept", { a: { toJSON: () => ({ password }) }, get b() { return { password }; } }),
    "a class instance": (logger) => logger.info("kept", new (class { password = SECRET; })()),
    "pino's order": (_, calls) => calls.info({ password }, "kept"),
    "more arguments": (_, calls) => calls.info("kept", 1, { password }, [{ password }], new Map([["password", SECRET]]), withSecret()),
    "placeholders": (_, calls) => calls.info("kept %o %O %j %s", { password }, { password }, { password }, { password }),
    "an array or a Map behind": (_, calls) => { calls.info("kept", [{ password }]); calls.info("kept", new Map<unknown, unknown>([["password", SECRET], [1, 1]])); },
    "log({ level, … })": (_, calls) => calls.log({ level: "warn", message: "kept", password }),
    "a child's fields, withFields": (logger) => logger.child({ password }).withFields({ deep: { password } }, () => logger.child({ password }).info("kept")),
    "captureConsole: text and an object": (logger) => captured(logger, () => console.log("kept", { password })),
    "captureConsole: one object": (logger) => captured(logger, () => console.info({ message: "kept", password })),
    "captureConsole: placeholders": (logger) => captured(logger, () => console.warn("kept %o %j", { password }, { a: { password } })),
    "captureConsole: arrays, Maps, class instances": (logger) => captured(logger, () => console.log("kept", [{ password }], new Map<unknown, unknown>([["password", SECRET], [1, 2]]), new (class { password = SECRET; })())),
    "captureConsole: an Error": (logger) => captured(logger, () => { console.error(withSecret()); console.error("kept", withSecret()); }),
    "captureConsole: a path": (logger) => captured(logger, () => console.log("kept", { users: { ada: { pin: SECRET } } })),
    "captureConsole: deep": (logger) => captured(logger, () => console.log("kept", { a: { b: { password } } }, [[[{ password }]]])),
    "a line": (logger) => logger.stream().write(`{"msg":"kept","password":"${SECRET}","users":{"a":{"pin":"${SECRET}"}}}\n`),
    "a line of another spelling": (logger) => logger.stream().write(`  { "msg" : "kept", "pass\\u0077ord" : ["${SECRET}"], "password": 1 }\r\n`),
    "a line in pieces": (logger) => { const stream = logger.stream(); for (const byte of Buffer.from(`{"msg":"kept","password":"${SECRET}"}\n`)) stream.write(Buffer.from([byte])); },
    "a line of a thousand levels": (logger) => logger.stream().write(`{"msg":"kept","a":${'{"a":'.repeat(1_000)}{"password":"${SECRET}"}${"}".repeat(1_000)}}\n`),
    "a line with __proto__": (logger) => logger.stream().write(`{"msg":"kept","__proto__":{"a":1,"password":"${SECRET}"}}\n`),
    "a line of an array": (logger) => logger.stream().write(`[{"kept":1},{"password":"${SECRET}"}]\n`),
    "winston's record": (logger) => logger.stream().write({ level: "info", [Symbol.for("level")]: "info", [Symbol.for("message")]: `{"message":"kept","password":"${SECRET}"}` }),
    "bunyan's record": (logger) => logger.stream().write({ name: "app", level: 30, msg: "kept", time: new Date(), password, v: 0 }),
  };
  const formats: Record<string, CloudwatchLoggerOptions["format"]> = {
    json: "json",
    text: "text",
    "a template": "{level} {message} {password} {map} {users}",
    "a function": ({ message, fields, error }) => inspect({ message, fields, error }, { depth: 20 }),
  };
  for (const [title, way] of Object.entries(ways)) {
    for (const [manner, options] of Object.entries({
      sent: { fields: { token: SECRET, scope: [{ token: SECRET }] } },
      "sent and printed": { fields: () => ({ token: SECRET, scope: [{ token: SECRET }] }), console: "text" },
    })) {
      it(`${title}, ${manner}`, async (t) => {
        const printed = prints(t);
        // In what is turned into text, the top is that of each value.
        const redact = ["password", "token", "users.*.pin"];
        for (const [name, shape] of Object.entries(formats)) {
          const { logger, calls, texts } = recorded({ format: shape, redact, ...options } as CloudwatchLoggerOptions);
          printed.length = 0;
          await way(logger, calls);
          const { delivered } = await logger.close();
          assert.ok(delivered >= 1 && texts().length === delivered, name);
          for (const text of texts()) {
            assert.ok(!text.includes(SECRET), `${name}: ${text.slice(0, 1_000)}`);
            assert.ok(text.includes("kept"), `${name}: ${text.slice(0, 1_000)}`);
          }
          // What goes through a captured console is printed by the program itself.
          for (const { text } of title.startsWith("captureConsole") ? [] : printed) {
            assert.ok(!text.includes(SECRET), text.slice(0, 1_000));
            assert.ok(text.includes("kept"), text.slice(0, 1_000));
          }
        }
      });
    }
  }

  for (const overflow of ["error", "truncate", "split"] as const) {
    it(`a line of megabytes, the secret at its end: overflow ${overflow}`, async () => {
      for (const megabytes of [1, 5, 12]) {
        const { logger, texts, losses } = recorded({ redact: ["password"], overflow });
        const pad = "x".repeat(megabytes * 1_000_000);
        const line = `{"msg":"kept","pad":"${pad}","password":"${SECRET}","end":1}`;
        const stream = logger.stream();
        stream.write(`${line}\n`);
        stream.write(Buffer.from(line));
        await new Promise<void>((resolve) => stream.end(resolve));
        const stats = conserved(await logger.close());
        assert.ok(stats.delivered + stats.droppedReasons.oversize >= 2);
        const lost = losses.flatMap(({ events }) => events.map(({ message }) => message));
        const all = [...texts(), ...lost].join("");
        assert.ok(!all.includes(SECRET), `${megabytes} MB`);
        // Not `assert.equal`: it would show the difference of megabytes.
        const whole = line.replace(SECRET, "[redacted]");
        if (overflow === "split") assert.ok(all === whole + whole, `${megabytes} MB are cut in silence`);
      }
    });
  }
});

// ── Templates and format functions ──────────────────────────────────────────────────────────────────────────────────

describe("formats", () => {
  const TEMPLATE = "{level}: {func}: ";
  // biome-ignore format: a table
  const rows: [format: string, call: (log: Calls) => void, text: string][] = [
    [TEMPLATE, (log) => log.info("m", { func: "pay" }), "INFO: pay: m"],
    [TEMPLATE, (log) => log.info("m", { other: 1 }), 'INFO: : m {"other":1}'],
    [TEMPLATE, (log) => log.info({ func: "pay", a: 1 }, "m"), 'INFO: pay: m {"a":1}'],
    [TEMPLATE, (log) => log.info("%s-%d", "m", 1), "INFO: : m-1"],
    [TEMPLATE, (log) => log.info({ func: "pay" }), "INFO: pay: "],
    [TEMPLATE, (log) => log.log({ level: "warning", message: "m", func: "f" }), "WARN: f: m"],
    ["{message} {toString} {__proto__}!", (log) => log.info("m"), "m  !"],
    ["{a} {message}", (log) => log.info("m", { a: [1, { b: 2 }] }), '[1,{"b":2}] m'],
    ["text", (log) => log.info("m", { a: 1 }), 'INFO m {"a":1}'],
    ["text", (log) => log.info({ a: 1 }), 'INFO  {"a":1}'],
    ["text", (log) => log.error("failed", other), `ERROR failed ${other.stack}`],
    ["text", (log) => log.error("failed", { err: other, a: 1 }), `ERROR failed ${other.stack} {"a":1}`],
    ["text", (log) => log.error(other), `ERROR ${other.stack}`],
    ["text", (log) => log.info("a\ud800", { k: "\udc00" }), 'INFO a\ufffd {"k":"\\udc00"}'],
    ["{message}", (log) => log.info(""), " "],
    ["{message}", (log) => log.info({}), " "],
  ];
  for (const [shape, call, text] of rows) {
    it(`${shape} makes ${inspect(text.split("\n")[0])}`, async () => {
      const { logger, calls, texts } = recorded({ format: shape });
      call(calls);
      await logger.close();
      assert.deepEqual(texts(), [text]);
    });
  }

  const failing: [title: string, format: () => unknown][] = [
    ["throws", () => boom()],
    ["throws undefined", () => throwNothing()],
    ["gives undefined", () => undefined],
    ["gives null", () => null],
    ["gives a number", () => 5],
    ["gives a String object", () => new String("text")],
    ["gives a rejected promise", () => Promise.reject(new Error("late"))],
  ];
  for (const [title, shape] of failing) {
    it(`a function that ${title}: JSON, and onError hears once, also if it logs itself`, async () => {
      for (const logs of [false, true]) {
        let heard = 0;
        const { logger, texts } = recorded({
          format: shape as () => string,
          onError: (error) => {
            heard++;
            if (logs) logger.warn("told", { code: error.code });
          },
        });
        for (const message of ["a", "b", "c"]) logger.info(message, { n: 1 });
        logger.child({ child: 1 }).info("d");
        conserved(await logger.close());
        assert.equal(heard, 1);
        const events = texts().map((text) => JSON.parse(text));
        assert.deepEqual(
          events.filter(({ message }) => message !== "told"),
          [
            ...["a", "b", "c"].map((message) => ({ level: "INFO", message, n: 1 })),
            { level: "INFO", message: "d", child: 1 },
          ],
        );
        assert.equal(events.length, logs ? 5 : 4);
      }
    });
  }

  it("a function gets what the call gave, in every shape", async () => {
    const events: unknown[] = [];
    const { logger, calls } = recorded({
      format: ({ timestamp, ...event }) => {
        assert.ok(Math.abs(Date.now() - timestamp) < 5_000);
        events.push({ ...event, fields: { ...event.fields } });
        return "x";
      },
    });
    calls.info({ a: 1 }, "m");
    calls.log("WARNING", "%s", "m");
    calls.error("m", { err: declined, a: 1 });
    await logger.close();
    assert.deepEqual(events, [
      { level: "info", message: "m", fields: { a: 1 } },
      { level: "warn", message: "m", fields: {} },
      { level: "error", message: "m", fields: { a: 1 }, error: declined },
    ]);
  });
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A client that takes everything. */
function double(sent: LogEvent[]): { send(command: never): Promise<unknown> } {
  return {
    send: async (command) => {
      const { input } = command as { input: { logEvents?: LogEvent[] } };
      sent.push(...(input.logEvents ?? []));
      return {};
    },
  };
}

function recorded(options: CloudwatchLoggerOptions = {}) {
  const sent: LogEvent[] = [];
  const errors: CloudwatchLoggerError[] = [];
  const losses: Loss[] = [];
  const logger = new CloudwatchLogger(GROUP, {
    client: double(sent),
    onError: (error) => void errors.push(error),
    onLoss: (loss) => void losses.push(loss),
    ...options,
  });
  return {
    logger,
    calls: logger as unknown as Calls,
    errors,
    losses,
    /** In the order in which CloudWatch Logs shows them; batches of several milliseconds fly at once. */
    texts: () => [...sent].sort((a, b) => a.timestamp - b.timestamp).map(({ message }) => message),
  };
}

function captured(logger: CloudwatchLogger, run: () => void): void {
  const release = logger.captureConsole();
  run();
  release();
}

/** What is printed on the console while a test runs. */
function prints(t: TestContext): { method: string; text: string }[] {
  const printed: { method: string; text: string }[] = [];
  for (const method of ["debug", "log", "info", "warn", "error", "trace"] as const) {
    t.mock.method(console, method, (...values: unknown[]) => printed.push({ method, text: format(...values) }));
  }
  return printed;
}

/** Whether the logger is to believe that stdout and stderr are a terminal that knows colours. */
function terminal(t: TestContext, isTerminal: boolean): void {
  const { NO_COLOR, FORCE_COLOR, NODE_DISABLE_COLORS } = process.env;
  for (const name of ["NO_COLOR", "FORCE_COLOR", "NODE_DISABLE_COLORS"]) delete process.env[name];
  const properties = {
    isTTY: isTerminal,
    hasColors: () => isTerminal,
    getColorDepth: () => (isTerminal ? 8 : 1),
  };
  for (const stream of [process.stdout, process.stderr]) {
    for (const [name, value] of Object.entries(properties)) {
      const before = Object.getOwnPropertyDescriptor(stream, name);
      Object.defineProperty(stream, name, { configurable: true, writable: true, value });
      t.after(() => {
        if (before === undefined) Reflect.deleteProperty(stream, name);
        else Object.defineProperty(stream, name, before);
      });
    }
  }
  t.after(() => {
    for (const [name, value] of Object.entries({ NO_COLOR, FORCE_COLOR, NODE_DISABLE_COLORS }))
      if (value !== undefined) process.env[name] = value;
  });
}

function boom(): never {
  throw new Error("boom");
}

function throwNothing(): never {
  // biome-ignore lint/style/useThrowOnlyError: what others throw
  throw undefined;
}
