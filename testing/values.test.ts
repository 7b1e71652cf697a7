/**
 * What values, options and chunks must not do to events: no argument is lost, nothing that is to be hidden gets through by
 * a side door, what fits is not cut, and no log call throws.
 */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { describe, it, type TestContext } from "node:test";
import { inspect } from "node:util";
import { CloudwatchLogger, type CloudwatchLoggerOptions, type Fields, type LogEvent } from "../cloudwatch.js";
import { conserved, turn } from "./support.js";

const GROUP = "my-app";
const SECRET = "hunter2";
const YEAR_MS = 31_536_000_000;
const LEVEL = Symbol.for("level");

describe("no argument of a call is lost", () => {
  const form = new FormData();
  form.set("a", "kept");
  const values: Record<string, [value: object, kept: RegExp]> = {
    Headers: [new Headers({ a: "kept" }), /kept/],
    URLSearchParams: [new URLSearchParams("a=kept"), /kept/],
    Response: [new Response("x", { status: 418 }), /418/],
    FormData: [form, /kept/],
    "an ArrayBuffer": [new TextEncoder().encode("A").buffer, /41/],
    "a Blob": [new Blob(["abc"]), /size: 3/],
    "an AbortSignal": [AbortSignal.abort(), /aborted: true/],
    "an instance without fields": [new (class Kept {})(), /Kept/],
  };
  for (const [title, [value, kept]] of Object.entries(values)) {
    it(`${title}, behind a message and alone`, async () => {
      const { logger, texts } = recorded();
      logger.info("x", value);
      logger.info(value);
      const [behind = "", alone = ""] = await texts();
      assert.match(behind, kept);
      assert.match(alone, kept);
    });
  }

  it("a message that an Error's stack happens to contain is in the text", async () => {
    const { logger, texts } = recorded({ format: "text" });
    logger.error(new Error("boom"), "at");
    const [text = ""] = await texts();
    assert.match(text, /^ERROR at /);
  });
});

describe("redact hides what it names", () => {
  const withSymbol = { [Symbol("k")]: { password: SECRET } };
  class User {
    static password = SECRET;
    name = "bob";
  }
  class Account {
    toJSON() {
      return { password: SECRET };
    }
  }
  type Leak = [title: string, redact: string[], log: (logger: CloudwatchLogger) => void, format?: typeof asText];
  // biome-ignore format: a table
  const leaks: Leak[] = [
    ["by path, what an object's toJSON gives", ["user.password"], (logger) => logger.info("x", { user: { toJSON: () => ({ password: SECRET }) } })],
    ["by path, what a class's toJSON gives", ["a.user.password"], (logger) => logger.info("x", { a: { user: new Account() } })],
    ["by path, in an array that toJSON gives", ["users.*.password"], (logger) => logger.info("x", { users: { toJSON: () => [{ password: SECRET }] } })],
    ["below a symbol, where values are printed", ["password"], (logger) => logger.info("x", 3, withSymbol)],
    ["below a symbol, on a captured console", ["password"], (logger) => captured(logger, () => console.log("x", withSymbol))],
    ["below a symbol, in what a format function is given", ["password"], (logger) => logger.info("x", { req: withSymbol }), asText],
    ["of a function, where values are printed", ["password"], (logger) => logger.info("x", Object.assign(() => {}, { password: SECRET }))],
    ["of a class, on a captured console", ["password"], (logger) => captured(logger, () => console.log("x", User))],
    ["in a line of JSON, however deep", ["password"], (logger) => logger.stream().write(`${'{"a":'.repeat(20_000)}{"password":"${SECRET}"}${"}".repeat(20_000)}\n`)],
    ["in a Map whose key is no text, by *", ["m.*.token"], (logger) => logger.info("x", { m: new Map([[17, { token: SECRET }]]) })],
    ["of an Error in the field err, by the path that was logged", ["err.config.token"], (logger) => logger.info("x", { err: Object.assign(new Error("a"), { config: { token: SECRET } }) })],
    ["of an Error that the message prints, by its path in the event", ["error.cause.token"], (logger) => logger.info("x", 3, new Error("a", { cause: { token: SECRET } }))],
    ["an Error's message, in its stack as well", ["message"], (logger) => logger.error(new Error(SECRET))],
  ];
  for (const [title, redact, log, format] of leaks) {
    it(title, async (t) => {
      t.mock.method(console, "log", () => {});
      const { logger, texts } = recorded({ redact, ...(format && { format }) });
      log(logger);
      const all = await texts();
      assert.equal(all.length, 1);
      assert.ok(!all[0]?.includes(SECRET), all[0]?.slice(0, 300));
    });
  }

  it("what a winston transport's own format has masked stays masked, where it has made no text", async () => {
    const { logger, texts } = recorded();
    const format = { transform: (record: Fields) => ({ ...record, password: "***" }) };
    const stream = Object.assign(logger.stream(), { format });
    stream.write({ [LEVEL]: "info", level: "info", message: "m", password: SECRET });
    assert.deepEqual((await texts()).map(parsed), [{ level: "INFO", message: "m", password: "***" }]);
  });

  const rows = new Array(600_000).fill(1);
  for (const [title, options] of Object.entries<CloudwatchLoggerOptions>({
    "a large array that is printed short is no oversized event": {},
    "nor costs it the fields behind, where events are truncated": { overflow: "truncate", fields: { service: "shop" } },
  })) {
    it(title, async () => {
      const { logger, texts } = recorded({ redact: ["password"], ...options });
      logger.info("rows", rows);
      const [text = "", ...more] = await texts();
      const { message, ...rest } = parsed(text) as Fields;
      assert.match(String(message), /^rows \[.* more items/s);
      assert.deepEqual(rest, { level: "INFO", ...options.fields });
      assert.deepEqual(more, []);
    });
  }
});

describe("a refusal shows no secret", () => {
  const keys = { accessKeyId: "AKIDTEST", secretAccessKey: SECRET };
  const refused: Record<string, unknown[]> = {
    "options as the first argument, as the transport takes them": [{ logGroupName: "x", credentials: keys }],
    "a URL as the endpoint": [GROUP, { endpoint: new URL(`https://u:${SECRET}@h`) }],
    "a list as the endpoint": [GROUP, { endpoint: [`https://u:${SECRET}@h`] }],
    "an endpoint with a question mark in its password": [GROUP, { endpoint: `https://user:${SECRET}?x@host` }],
    "an endpoint with a fragment": [GROUP, { endpoint: `ftp://host/#token=${SECRET}` }],
    "keys as the profile": [GROUP, { profile: keys }],
    "a client's configuration as the region": [GROUP, { region: { credentials: keys } }],
  };
  for (const [title, given] of Object.entries(refused)) {
    it(title, () => {
      assert.throws(
        () => Reflect.construct(CloudwatchLogger, given),
        (error: Error) => {
          assert.match(error.message, /^Cannot create CloudwatchLogger/);
          assert.ok(!inspect(error, { showHidden: true }).includes(SECRET), error.message);
          return true;
        },
      );
    });
  }
});

describe("what fits into an event is not cut", () => {
  const values: Record<string, unknown> = {
    "400,000 zeros, 800 kB": new Array(400_000).fill(0),
    "300,000 empty texts, 900 kB": new Array(300_000).fill(""),
    "300,000 empty objects, 900 kB": new Array(300_000).fill({}),
    "150,000 properties that are undefined, no bytes": Object.fromEntries(
      Array.from({ length: 150_000 }, (_, index) => [`p${index}`, undefined]),
    ),
  };
  for (const [title, value] of Object.entries(values)) {
    it(title, async () => {
      const { logger, texts } = recorded();
      logger.info("x", { value });
      const [text] = await texts();
      assert.ok(text === JSON.stringify({ level: "INFO", message: "x", value }), text?.slice(0, 300));
    });
  }
});

describe("the shape of an event", () => {
  it("level, message and error come first, whatever the fields are called", async () => {
    const { logger, texts } = recorded();
    logger.info("x", { 404: 3, a: 1, error: new Error("e") });
    const [text = ""] = await texts();
    assert.match(text, /^\{"level":"INFO","message":"x","error":\{/);
  });

  it("log({ level }) reads the level once", async () => {
    const { logger, texts } = recorded();
    let reads = 0;
    logger.log({
      get level() {
        reads++;
        return "error";
      },
      message: "x",
    });
    assert.deepEqual(await texts(), ['{"level":"ERROR","message":"x"}']);
    assert.equal(reads, 1);
  });

  it("a format function that empties what it is given, and throws, takes no field from the event", async () => {
    const format = ({ fields }: { fields: Fields }) => {
      for (const name of Object.keys(fields)) delete fields[name];
      return boom();
    };
    const { logger, texts } = recorded({ redact: ["z"], format });
    logger.info("x", { a: 1 });
    assert.deepEqual((await texts()).map(parsed), [{ level: "INFO", message: "x", a: 1 }]);
  });

  it("a plain object with a toJSON of its own says itself what its content is, as in JSON", async () => {
    const { logger, texts } = recorded();
    const session = { user: "bob", token: SECRET, toJSON: () => ({ user: "bob" }) };
    logger.info(session);
    logger.info("signed in", { session });
    assert.deepEqual((await texts()).map(parsed), [
      { level: "INFO", message: '{"user":"bob"}' },
      { level: "INFO", message: "signed in", session: { user: "bob" } },
    ]);
  });

  it("level may be set to undefined, as process.env has it: the default", async () => {
    const { logger } = recorded({ level: "error" });
    logger.level = process.env["CWLOGGER_NO_SUCH_LEVEL"];
    assert.equal(logger.level, "info");
    await logger.close();
  });

  it("a field of a template that is undefined is empty", async () => {
    const { logger, texts } = recorded({ format: "[{u}] " });
    logger.info("x", { u: undefined });
    assert.deepEqual(await texts(), ["[] x"]);
  });

  it("{clock} in a template is a field like any other", async () => {
    const { logger, texts } = recorded({ format: "[{clock}] " });
    logger.info("x", { clock: "noon" });
    logger.info("y");
    assert.deepEqual(await texts(), ["[noon] x", "[] y"]);
  });
});

describe("what a host writes is logged, or told as lost", () => {
  it("the last line of a source that fails in the middle of it, in a pipeline", async () => {
    const { logger, texts } = recorded();
    async function* source() {
      yield "a\nfatal: disk";
      throw new Error("source");
    }
    await assert.rejects(pipeline(Readable.from(source()), logger.stream()), /source/);
    assert.deepEqual(await texts(), ["a", "fatal: disk"]);
  });

  it("a line that has no end when the logger closes", async () => {
    const { logger, texts } = recorded();
    logger.stream().write("no line break");
    assert.deepEqual(await texts(), ["no line break"]);
  });

  it("two objects with the same name: both values", async () => {
    const { logger, texts } = recorded();
    logger.info({ id: "first" }, { id: "second" });
    assert.deepEqual(await texts(), ['{"level":"INFO","id_":"first","id":"second"}']);
  });

  it("two objects whose names have underscores already: every value", async () => {
    const { logger, texts } = recorded();
    logger.info({ a: 1, a_: 2 }, { a: 3, a_: 4 });
    const [text = ""] = await texts();
    assert.deepEqual(parsed(text), { level: "INFO", a__: 1, a___: 2, a: 3, a_: 4 });
  });

  it("what is written after destroy() is dropped, and counted", async () => {
    const { logger, texts } = recorded();
    const stream = logger.stream();
    stream.destroy();
    stream.write("late\n");
    assert.deepEqual(await texts(), []);
    const { logged, droppedReasons } = conserved(logger.stats());
    assert.deepEqual([logged, droppedReasons.closed], [1, 1]);
  });

  const records: Record<string, [record: object, kept: RegExp]> = {
    "a field timestamp beside bunyan's time": [{ level: 30, msg: "x", time: new Date(), timestamp: "kept" }, /kept/],
    "a duration in time beside a timestamp": [{ msg: "x", time: 12.5, timestamp: Date.now() }, /12\.5/],
  };
  for (const [title, [record, kept]] of Object.entries(records)) {
    it(title, async () => {
      const { logger, texts } = recorded();
      logger.stream().write(record);
      const [text = ""] = await texts();
      assert.match(text, kept);
    });
  }

  const times = ["12.5", "attempt 5", "2/3", "eu-west-1", Date.now() * 1_000];
  for (const time of times) {
    const title = typeof time === "string" ? `"${time}"` : "microseconds";
    it(`${title} in time is no moment of another age, which would be rejected`, async () => {
      const { logger, sent, texts } = recorded();
      logger.stream().write(`${JSON.stringify({ time })}\n`);
      await texts();
      const ageMs = Date.now() - (sent[0]?.timestamp ?? 0);
      assert.ok(Math.abs(ageMs) < YEAR_MS, `${ageMs} ms`);
    });
  }
});

describe("ends", () => {
  it("an event whose value ends the process while it is read is in a column of the counts", async () => {
    const before = process.listeners("exit");
    const { logger, texts } = recorded({ onLoss: () => {} });
    const [exit] = process.listeners("exit").filter((listener) => !before.includes(listener));
    assert.ok(exit, "no logger of another test is open");
    logger.info("x", {
      get a() {
        // Only what the logger does then.
        exit.call(process, 0);
        return 1;
      },
    });
    await texts();
    const { logged, pending } = conserved(logger.stats());
    assert.deepEqual([logged, pending], [1, 0]);
  });

  it("close() takes the listeners away that the constructor set, though the list of signals has changed", async () => {
    const before = process.listenerCount("SIGTERM");
    const signals: NodeJS.Signals[] = ["SIGTERM"];
    const { logger } = recorded({ closeOnSignals: signals });
    assert.equal(process.listenerCount("SIGTERM"), before + 1);
    signals.shift();
    await logger.close();
    assert.equal(process.listenerCount("SIGTERM"), before);
  });
});

describe("a log call does not throw, and is an event", () => {
  const hostileBytes = () => Object.defineProperty(new Uint8Array(2), "byteLength", { get: boom });

  it("bytes with a byteLength of their own", async () => {
    const { logger, texts } = recorded();
    logger.info(hostileBytes());
    assert.equal((await texts()).length, 1);
  });

  it("such bytes, written to a stream", async () => {
    const { logger, texts } = recorded();
    const stream = logger.stream();
    stream.write(hostileBytes());
    stream.write("\n");
    await texts();
    assert.equal(conserved(logger.stats()).logged, 1);
  });

  const additions: Record<string, PropertyDescriptor> = {
    "a read-only object": { value: {} },
    "a getter": { get: () => [1] },
    "a getter that throws": { get: boom },
    "a method": { value() {}, writable: true },
  };
  for (const [title, addition] of Object.entries(additions)) {
    it(`Object.prototype has ${title}, which is no field of every object`, async (t) => {
      const { logger, texts } = recorded();
      const restore = () => Reflect.deleteProperty(Object.prototype, "extend");
      t.after(restore);
      Object.defineProperty(Object.prototype, "extend", { enumerable: true, configurable: true, ...addition });
      logger.info("x", { a: { b: 1 } });
      restore();
      assert.deepEqual((await texts()).map(parsed), [{ level: "INFO", message: "x", a: { b: 1 } }]);
    });
  }

  const printed: Record<
    string,
    [options: CloudwatchLoggerOptions, log: (t: TestContext, to: CloudwatchLogger) => void]
  > = {
    "on a console for people: an Error without stack, whose name is an object": [
      { console: "text" },
      (_t, logger) => logger.error(Object.assign(new Error("x"), { name: { toString: () => "N" }, stack: undefined })),
    ],
    "on a console for people: the last millisecond that a Date has, east of Greenwich": [
      { console: "text" },
      (t, logger) => {
        const { TZ } = process.env;
        t.after(() => {
          if (TZ === undefined) delete process.env.TZ;
          else process.env.TZ = TZ;
        });
        process.env.TZ = "Asia/Tokyo";
        logger.stream().write({ msg: "x", time: 8.64e15 - 1 });
      },
    ],
    "on a console, where process.stdout cannot be had": [
      { console: true },
      (t, logger) => during(t, process, "stdout", { get: boom }, () => logger.info("x")),
    ],
    "{caller}, where Error.prepareStackTrace throws": [
      { format: "{caller} " },
      (t, logger) => during(t, Error, "prepareStackTrace", { value: boom }, () => logger.info("x")),
    ],
  };
  for (const [title, [options, log]] of Object.entries(printed)) {
    it(title, async (t) => {
      for (const method of ["debug", "log", "info", "warn", "error"] as const) t.mock.method(console, method, () => {});
      const { logger, texts } = recorded(options);
      log(t, logger);
      assert.equal((await texts()).length, 1);
    });
  }

  it("onError returns a promise that nobody can wait for: nothing escapes", async (t) => {
    const escaped: unknown[] = [];
    const listen = (error: unknown) => void escaped.push(error);
    process.on("unhandledRejection", listen);
    t.after(() => process.off("unhandledRejection", listen));
    let calls = 0;
    const onError = () => {
      calls++;
      return Object.defineProperty(Promise.resolve(), "constructor", { get: boom });
    };
    const { logger, texts } = recorded({ fields: boom, onError });
    logger.info("x");
    assert.equal((await texts()).length, 1);
    for (let turns = 0; turns < 3; turns++) await turn();
    assert.ok(calls > 0);
    assert.deepEqual(escaped, []);
  });
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A logger whose client takes everything. */
function recorded(options: CloudwatchLoggerOptions = {}) {
  const sent: LogEvent[] = [];
  const client = {
    send: async (command: never) => {
      sent.push(...((command as { input: { logEvents?: LogEvent[] } }).input.logEvents ?? []));
      return {};
    },
  };
  const logger = new CloudwatchLogger(GROUP, { client, logStreamName: "main", onError: () => {}, ...options });
  /** Closes the logger; in the order in which CloudWatch Logs shows them. */
  const texts = async () => {
    await logger.close();
    return [...sent].sort((a, b) => a.timestamp - b.timestamp).map(({ message }) => message);
  };
  return { logger, sent, texts };
}

function captured(logger: CloudwatchLogger, run: () => void): void {
  const release = logger.captureConsole();
  run();
  release();
}

/** Has a property of its own on an object while something runs. */
function during(t: TestContext, object: object, name: string, property: PropertyDescriptor, run: () => void): void {
  const own = Object.getOwnPropertyDescriptor(object, name);
  const restore = () => {
    if (own === undefined) Reflect.deleteProperty(object, name);
    else Object.defineProperty(object, name, own);
  };
  t.after(restore);
  Object.defineProperty(object, name, { configurable: true, ...property });
  run();
  restore();
}

/** As a format function may print what it is given. */
function asText(event: object): string {
  return inspect(event, { depth: null });
}

function parsed(text: string): unknown {
  return JSON.parse(text);
}

function boom(): never {
  throw new Error("boom");
}
