/** What an attacker could try through logged values, answers of an endpoint, names, and the spool directory. */
import assert from "node:assert/strict";
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, it, type TestContext } from "node:test";
import { inspect } from "node:util";
import {
  CloudwatchLogger,
  type CloudwatchLoggerError,
  type CloudwatchLoggerOptions,
  type LogEvent,
  type Loss,
} from "../cloudwatch.js";
import { LocalCloudWatchLogs, type LocalFault } from "./local-cloudwatch.js";
import { Compiled, conserved, filesIn, range, temporaryDirectory } from "./support.js";

const GROUP = "my-app";
const STREAM = "main";
const KEY_ID = "AKIDEXAMPLE42";
const SECRET = "s3cr3t+Of/the=House";
const TOKEN = "t0ken//Of+the==Session";
const CREDENTIALS = { accessKeyId: KEY_ID, secretAccessKey: SECRET, sessionToken: TOKEN };
const SECRETS = [SECRET, TOKEN, "AWS4-HMAC-SHA256", "Signature=", "x-amz-security-token:"];

afterEach(() => assert.deepEqual(pollution(), [], "no prototype has been touched"));

// ── Log injection ───────────────────────────────────────────────────────────────────────────────────────────────────

describe("log injection", () => {
  const INJECTED = "\u001b[2J\u001b]0;owned\u0007line one\r\nERROR forged event\n\u009b31m\u0000\u0008\u007f\u2028end";
  const formats: CloudwatchLoggerOptions["format"][] = [
    "json",
    "text",
    "{level} {message} {field}",
    ({ message, fields }) => `${message} ${fields.field}`,
  ];

  for (const format of formats) {
    it(`the console shows no control character and no forged line: format ${String(format).slice(0, 30)}`, async (t) => {
      const printed = captured(t);
      for (const group of [null, GROUP]) {
        const logger = new CloudwatchLogger(group, { client: nowhere(), console: true, format });
        logger.info(INJECTED, { field: INJECTED, [INJECTED]: 1 });
        logger.error(Object.assign(new Error(INJECTED), { name: INJECTED, stack: INJECTED }));
        await logger.close(0);
      }
      assert.ok(printed.length >= 4);
      for (const text of printed) {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        assert.doesNotMatch(text, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/, "a control character");
        assert.doesNotMatch(text, /^ERROR forged/m, "a line that looks like an event of its own");
        assert.match(text, /line one/, "the text is there");
      }
    });
  }

  it("a JSON event keeps every character and stays one event", async (t) => {
    const { service, logger } = await serve(t);
    logger.info(INJECTED, { field: INJECTED, [INJECTED]: INJECTED });
    await logger.close();
    const events = service.events(GROUP);
    assert.equal(events.length, 1);
    const message = events[0]?.message ?? "";
    assert.doesNotMatch(message, /\n/);
    assert.deepEqual(JSON.parse(message), { level: "INFO", message: INJECTED, field: INJECTED, [INJECTED]: INJECTED });
  });

  it("a field cannot pass for what the event says itself", async (t) => {
    const { service, logger } = await serve(t);
    const forged = {
      level: "FATAL",
      message: "forged",
      error: { name: "forged" },
      part: { index: 0 },
      truncatedBytes: 9,
    };
    logger.info("true", forged);
    logger.info({ ...forged, message: "true" });
    logger.child({ level: "FATAL" }).info("true");
    await logger.close();
    for (const { message } of service.events(GROUP)) {
      const event = JSON.parse(message);
      assert.equal(event.level, "INFO");
      assert.equal(event.message, "true");
      for (const name of ["error", "part", "truncatedBytes"]) assert.equal(Object.hasOwn(event, name), false, name);
    }
  });

  it("what is printed on stderr is one line for each report", async (t) => {
    const directory = temporaryDirectory(t);
    const compiled = await new Compiled().build();
    t.after(() => compiled.remove());
    const service = await LocalCloudWatchLogs.start();
    t.after(() => service.close());
    const forged = `\u001b[31mred\r\ncwlogger: forged line\n${"x".repeat(3_000)}`;
    service.options.fault = () => ({ kind: "error", name: "AccessDeniedException", message: forged });
    const { stderr } = await compiled.start(
      `const logger = new CloudwatchLogger("${GROUP}", options);
      logger.info(${JSON.stringify(forged)});
      await logger.close(500);`,
      { endpoint: service.endpoint, region: "us-east-1", credentials: CREDENTIALS, format: "{message}" },
      { env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "1" }, cwd: directory },
    ).ended;
    assert.match(stderr, /^cwlogger: /m);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    assert.doesNotMatch(stderr, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/, JSON.stringify(stderr));
    assert.doesNotMatch(stderr, /^cwlogger: forged/m);
    for (const secret of SECRETS) assert.equal(stderr.includes(secret), false);
  });
});

// ── Prototypes ──────────────────────────────────────────────────────────────────────────────────────────────────────

describe("prototype keys", () => {
  const NAMES = ["__proto__", "constructor", "prototype", "hasOwnProperty", "toString", "valueOf", "toJSON"];
  const hostile = () =>
    JSON.parse(`{${NAMES.map((name) => `"${name}":{"polluted":true,"prototype":{"polluted":true}}`)}}`);

  for (const options of [
    {},
    { format: "text" },
    { redact: ["polluted"] },
    { redact: ["__proto__.polluted", "*.x"], format: "text" },
  ]) {
    it(`in fields, everywhere: ${JSON.stringify(options)}`, async (t) => {
      const { service, logger } = await serve(t, options);
      logger.info("own", hostile());
      logger.info(hostile());
      logger.info("nested", { nested: hostile(), list: [hostile()], map: new Map(Object.entries(hostile())) });
      logger.child(hostile()).info("child");
      logger.withFields(hostile(), () => logger.info("scope"));
      logger.error(Object.assign(new Error("error"), { detail: hostile() }), hostile());
      new CloudwatchLogger(null, { fields: hostile() }).child(hostile());
      const { delivered } = await logger.close();
      assert.equal(delivered, 6);
      const [own = ""] = service.events(GROUP).map(({ message }) => message);
      for (const name of NAMES) assert.ok(own.includes(`"${name}"`), `${name} is kept in ${own}`);
    });
  }

  it("in templates: only own fields are named", async (t) => {
    const format = `${NAMES.map((name) => `[{${name}}]`).join("")}{message}`;
    const { service, logger } = await serve(t, { format });
    logger.info("none");
    logger.info("own", JSON.parse('{"__proto__":"p","constructor":"c","toString":"s"}'));
    await logger.close();
    assert.deepEqual(messages(service), ["[][][][][][][]none", "[p][c][][][s][][]own"]);
  });

  it("in lines and records of a stream", async (t) => {
    const { service, logger } = await serve(t, { redact: ["password"] });
    const stream = logger.stream();
    for (const value of [JSON.stringify(hostile()), `{"time":1e400,"__proto__":{"time":5},"password":"x"}`])
      stream.write(`${value}\n`);
    stream.write(hostile());
    await new Promise<void>((resolve) => stream.end(resolve));
    assert.equal(service.events(GROUP).length, 3);
    await logger.close();
  });

  it("in options: they are unknown options", () => {
    for (const name of NAMES) {
      const options = JSON.parse(`{"${name}":{"polluted":true}}`);
      assert.throws(() => new CloudwatchLogger(GROUP, options), TypeError, name);
    }
  });

  it("in levels", async (t) => {
    const { service, logger } = await serve(t);
    for (const name of NAMES) {
      logger.log(name as "info", name);
      assert.throws(() => Object.assign(logger, { level: name }), name);
    }
    await logger.close();
    for (const message of messages(service)) assert.equal(JSON.parse(message).level, "INFO");
    assert.equal(messages(service).length, NAMES.length);
  });
});

// ── Secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("secrets", { concurrency: 10 }, () => {
  /** What AWS answers to a wrong signature: it quotes all that was signed. */
  const quoting = [
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key.",
    "",
    "The Canonical String for this request should have been",
    `'POST\n/\n\ncontent-type:application/x-amz-json-1.1\nhost:logs\nx-amz-security-token:${TOKEN}\n`,
    "content-type;host;x-amz-security-token\nabc'",
    "",
    "The String-to-Sign should have been",
    "'AWS4-HMAC-SHA256\n20260131T120000Z\n20260131/us-east-1/logs/aws4_request\nabc'",
  ].join("\n");
  const faults: Record<string, LocalFault> = {
    SignatureDoesNotMatch: { kind: "error", name: "SignatureDoesNotMatch", status: 403, message: quoting },
    "SignatureDoesNotMatch on one line": {
      kind: "error",
      name: "InvalidSignatureException",
      message: quoting.replaceAll("\n", " "),
    },
    "a message with the token": { kind: "error", name: "AccessDeniedException", message: `no: ${TOKEN} and ${SECRET}` },
    "a message with the token at its cut": {
      kind: "error",
      name: "AccessDeniedException",
      message: `${"x".repeat(485)}${TOKEN} ${SECRET}`,
    },
    "an error named like the secret": { kind: "error", name: `${SECRET}Exception`, message: SECRET, status: 400 },
    ExpiredTokenException: { kind: "error", name: "ExpiredTokenException", message: `${KEY_ID} ${TOKEN} is expired` },
    "HTML that repeats the request": { kind: "status", status: 500, body: `<html>${SECRET} ${TOKEN}</html>` },
    "no JSON": { kind: "status", status: 200, body: `${SECRET} ${TOKEN}` },
    "a bad event": { kind: "error", name: "InvalidParameterException", message: `bad: ${SECRET} ${TOKEN}` },
    reset: { kind: "reset", stored: false },
  };
  const givings: Record<string, CloudwatchLoggerOptions["credentials"]> = {
    credentials: CREDENTIALS,
    "a provider": async () => ({ ...CREDENTIALS }),
  };
  for (const [giving, credentials] of Object.entries(givings)) {
    for (const [title, fault] of Object.entries(faults)) {
      it(`${title}, with ${giving}: neither onError nor onLoss nor close() shows any`, async (t) => {
        const { service, logger, errors, losses } = await serve(t, { credentials });
        service.options.fault = ({ action }) => (action === "PutLogEvents" ? fault : undefined);
        logger.info("event");
        // Three tries are made before transient trouble is told.
        for (let tries = 0; tries < 50 && errors.length + losses.length === 0; tries++) await logger.flush(30);
        await logger.close(0);
        assert.ok(errors.length + losses.length > 0, "there was something to tell");
        for (const told of [...errors, ...losses]) assertSecretFree(told);
      });
    }
  }

  it("a provider that fails with the secret in its error", async (t) => {
    const failing = async () => {
      const error = new Error(`cannot use ${SECRET}`, { cause: new Error(TOKEN) });
      throw Object.assign(error, { secret: SECRET, $response: { headers: { "x-amz-security-token": TOKEN } } });
    };
    const { logger, errors } = await serve(t, { credentials: failing });
    logger.info("event");
    await logger.flush(300);
    await logger.close(0);
    assert.ok(errors.length > 0);
    // What a provider of the user's says is its own; what hangs on its error is not passed on.
    for (const error of errors) assertSecretFree(error, [TOKEN, "x-amz-security-token"]);
  });

  it("a refusal of the constructor's", () => {
    const refused: object[] = [
      { credentials: { accessKeyId: KEY_ID, secretAccessKey: SECRET, sessionToken: 5 } },
      { credentials: { secretAccessKey: SECRET, sessionToken: TOKEN } },
      { credentials: { accessKeyId: "", secretAccessKey: SECRET } },
      { credentials: [SECRET, TOKEN] },
      { credentials: SECRET },
      { endpoint: `ftp://user:${SECRET}@host` },
      { endpoint: `http//user:${SECRET}@host` },
      { client: { secret: SECRET } },
      { client: { send: () => {}, secret: SECRET }, credentials: CREDENTIALS },
    ];
    for (const options of refused) {
      assert.throws(
        () => new CloudwatchLogger(GROUP, options),
        (error) => {
          assertSecretFree(error);
          return true;
        },
      );
    }
  });

  it("inspecting a logger", async (t) => {
    const { logger } = await serve(t);
    logger.info("event");
    await logger.flush();
    const shown =
      inspect(logger, { depth: 20, showHidden: true }) + JSON.stringify(logger) + JSON.stringify(logger.stats());
    for (const secret of SECRETS) assert.equal(shown.includes(secret), false);
    await logger.close();
  });
});

// ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("hostile names", () => {
  const names = [
    "../../etc/passwd",
    "a\nb",
    "a\0b",
    'a"b',
    "a\\b",
    "a b",
    "ä",
    "a:b",
    "a*b",
    "aws/lambda",
    "",
    "x".repeat(513),
    "\ud800",
    "$(x)",
    "a;b",
    "a'b",
  ];

  it("log group names that CloudWatch Logs refuses never get out of the constructor", () => {
    for (const name of names) {
      if (name === "../../etc/passwd") continue;
      assert.throws(() => new CloudwatchLogger(name, {}), /logGroupName/, JSON.stringify(name));
    }
  });

  it("log streams of any name that it takes are written to under that name", async (t) => {
    for (const name of names.filter((text) => text !== "" && text.length <= 512 && !/[:*\ud800]/.test(text))) {
      const { service, logger } = await serve(t, { logStreamName: name });
      logger.info("event");
      await logger.close();
      assert.deepEqual(service.logStreams(GROUP), [name]);
      assert.equal(service.events(GROUP, name).length, 1);
    }
    for (const name of names.filter((text) => text === "" || text.length > 512 || /[:*]/.test(text))) {
      assert.throws(() => new CloudwatchLogger(GROUP, { logStreamName: name }), /logStreamName/);
    }
  });

  it("names do not lead out of the spool directory", async (t) => {
    const parent = temporaryDirectory(t);
    const spoolDirectory = join(parent, "spool");
    for (const [group, logStreamName] of [
      ["../../escaped", "../../escaped"],
      ["..", ".."],
      ["/etc/x", "/etc/x"],
    ] as const) {
      const logger = new CloudwatchLogger(group, {
        client: nowhere(),
        spoolDirectory,
        logStreamName,
        onError: () => {},
      });
      logger.info("event");
      await logger.close(20);
    }
    assert.deepEqual(readdirSync(parent), ["spool"]);
    for (const path of readdirSync(spoolDirectory, { recursive: true }))
      assert.doesNotMatch(String(path), /escaped|etc/);
  });
});

// ── The spool directory ─────────────────────────────────────────────────────────────────────────────────────────────

describe("a spool directory that cannot be trusted", () => {
  const places: Record<string, (parent: string) => string> = {
    "a symbolic link to a directory": (parent) => {
      mkdirSync(join(parent, "target"), { mode: 0o700 });
      symlinkSync(join(parent, "target"), join(parent, "spool"));
      return "target";
    },
    "a dangling symbolic link": (parent) => {
      symlinkSync(join(parent, "target"), join(parent, "spool"));
      return "target";
    },
    "writable by its group": (parent) => {
      mkdirSync(join(parent, "spool"));
      chmodSync(join(parent, "spool"), 0o770);
      return "spool";
    },
    "writable by everybody": (parent) => {
      mkdirSync(join(parent, "spool"));
      chmodSync(join(parent, "spool"), 0o777);
      return "spool";
    },
    "writable by everybody, but sticky": (parent) => {
      mkdirSync(join(parent, "spool"));
      chmodSync(join(parent, "spool"), 0o1777);
      return "spool";
    },
    "somebody else's": (parent) => {
      mkdirSync(join(parent, "spool"), { mode: 0o700 });
      chownSync(join(parent, "spool"), 65_534, 65_534);
      return "spool";
    },
    "a file": (parent) => {
      writeFileSync(join(parent, "spool"), "mine");
      return "spool";
    },
  };
  for (const [title, make] of Object.entries(places)) {
    it(`${title}: one onError, nothing is written there, events are delivered`, async (t) => {
      if (title === "somebody else's" && process.getuid?.() !== 0) return t.skip("only root can give a directory away");
      const parent = temporaryDirectory(t);
      const watched = join(parent, make(parent));
      const before = list(watched);
      const { service, logger, errors } = await serve(t, { spoolDirectory: join(parent, "spool"), maxBatchEvents: 5 });
      for (const n of range(20)) logger.info(`event ${n}`);
      await logger.flush();
      for (const n of range(20, 20)) logger.info(`event ${n}`);
      const { delivered } = await logger.close();
      assert.equal(delivered, 40);
      assert.equal(service.events(GROUP).length, 40);
      assert.equal(errors.length, 1, inspect(errors));
      assert.deepEqual(list(watched), before);
    });
  }

  it("a link planted inside of it is not followed", async (t) => {
    const parent = temporaryDirectory(t);
    const spoolDirectory = join(parent, "spool");
    const outside = join(parent, "outside");
    mkdirSync(outside, { mode: 0o700 });
    const line = (message: string) => JSON.stringify({ timestamp: Date.now(), message });
    writeFileSync(join(outside, "1"), `{"logStreamName":"${STREAM}"}\n${line("stolen")}\n`, { mode: 0o600 });
    // Names as those of a logger that died.
    const dead = new CloudwatchLogger(GROUP, { client: nowhere(), spoolDirectory, onError: () => {} });
    dead.info("left");
    await dead.close(20);
    const [file = ""] = filesIn(spoolDirectory).filter((path) => lstatSync(path).isFile());
    symlinkSync(join(outside, "1"), `${file.slice(0, -1)}_`);
    for (const name of readdirSync(spoolDirectory)) {
      symlinkSync(outside, join(spoolDirectory, `${name.slice(0, -1)}${name.endsWith("0") ? "1" : "0"}`));
    }
    const { service, logger } = await serve(t, { spoolDirectory });
    await logger.flush();
    await logger.close();
    assert.deepEqual(
      messages(service).map((text) => JSON.parse(text).message),
      ["left"],
    );
    assert.deepEqual(readdirSync(outside), ["1"]);
  });
});

// ── Patterns ────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("patterns run on hostile input", () => {
  const SIZE = 6_000;
  const inputs: Record<string, (size: number) => string> = {
    "dots and stars": (size) => "*.".repeat(size / 2),
    brackets: (size) => "[".repeat(size),
    "brackets with names": (size) => "[a]".repeat(size / 3),
    "open braces": (size) => "{".repeat(size),
    placeholders: (size) => "{a}".repeat(size / 3),
    "a placeholder without an end": (size) => `{${"a".repeat(size)}`,
    "line breaks": (size) => "\n".repeat(size),
    "carriage returns": (size) => "\r".repeat(size),
    blanks: (size) => `${" ".repeat(size)}x`,
    tabs: (size) => "\t ".repeat(size / 2),
    "control characters": (size) => "\u001b".repeat(size),
    "quotes and backslashes": (size) => '\\"'.repeat(size / 2),
    "lines of a stack": (size) => "    at async new a [as b] (".repeat(size / 27),
    digits: (size) => "9".repeat(size),
    percent: (size) => "%s".repeat(size / 2),
  };
  const uses: Record<string, (text: string) => unknown> = {
    message: (text) => new CloudwatchLogger(null, {}).info(text),
    "template and field": (text) =>
      new CloudwatchLogger(null, { format: "{message} {a} {timestamp}" }).info(text, { a: text }),
    "a template": (text) => new CloudwatchLogger(null, { format: text }).info("x", { a: 1 }),
    "a stack": (text) =>
      new CloudwatchLogger(null, { format: "text" }).error(Object.assign(new Error(text), { stack: text })),
    redaction: (text) =>
      new CloudwatchLogger(null, { redact: [text, `a.${text}`] }).info(text, { a: { [text]: text } }),
    "a line of a stream": (text) =>
      new CloudwatchLogger(null, { redact: ["a"] }).stream().write(`{"time":"${text}"}\n${text}\n`),
    "a log group name": (text) => new CloudwatchLogger(text),
    "a log stream name": (text) => new CloudwatchLogger(null, { logStreamName: text }),
    "an endpoint": (text) => new CloudwatchLogger(GROUP, { endpoint: text }),
  };
  for (const [use, run] of Object.entries(uses)) {
    it(`${use}: ten times the input takes no hundred times as long`, (t) => {
      captured(t);
      for (const [kind, make] of Object.entries(inputs)) {
        const timed = (text: string) => {
          let best = Number.POSITIVE_INFINITY;
          for (let round = 0; round < 3; round++) {
            const from = performance.now();
            try {
              run(text);
            } catch (error) {
              assert.ok(error instanceof TypeError || error instanceof RangeError);
            }
            best = Math.min(best, performance.now() - from);
          }
          return best;
        };
        timed(make(SIZE));
        const once = timed(make(SIZE));
        const tenfold = timed(make(10 * SIZE));
        assert.ok(tenfold < 40 * once + 60, `${kind}: ${once.toFixed(1)} ms, then ${tenfold.toFixed(1)} ms`);
      }
    });
  }
});

// ── Values ──────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("hostile values neither hang nor throw", () => {
  const bomb = (): unknown =>
    new Proxy(
      {},
      {
        ownKeys: () => ["a", "b"],
        get: () => bomb(),
        getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: bomb() }),
      },
    );
  const shared = (depth: number, width: number): unknown => {
    let value: unknown = "leaf";
    for (let level = 0; level < depth; level++) value = Array.from({ length: width }, () => value);
    return value;
  };
  const deep = (levels: number): unknown => {
    let value: unknown = {};
    for (let level = 0; level < levels; level++) value = { value };
    return value;
  };
  const errors = (links: number): Error => {
    let error = new Error("first");
    for (let link = 0; link < links; link++) error = new Error(`link ${link}`, { cause: error });
    return error;
  };
  const endless = new Proxy([], { get: (_, name) => (name === "length" ? 2 ** 32 - 1 : undefined) });
  const values: Record<string, (logger: CloudwatchLogger) => unknown> = {
    "a proxy whose properties are proxies": bomb,
    "a proxy that invents ever more keys": () =>
      new Proxy(
        {},
        {
          ownKeys: () => range(200_000).map(String),
          get: () => "x".repeat(1_000),
          getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
        },
      ),
    "references shared 4 times at 40 levels": () => shared(40, 4),
    "objects shared 2 times at 200 levels": () =>
      range(200).reduce<unknown>((value) => ({ left: value, right: value }), "leaf"),
    "an array with a length of four billion": () => Object.assign([], { length: 2 ** 32 - 1 }),
    "a sparse array": () => Object.assign([], { 4000000000: 1 }),
    "a proxy of an array without end": () => endless,
    "a typed array of 50 MB": () => new Uint8Array(50_000_000),
    "an array-like": () => ({ length: 2 ** 53 - 1, 0: "a" }),
    "a set and a map of 250,000": () => ({
      set: new Set(range(250_000)),
      map: new Map(range(250_000).map((n) => [n, n])),
    }),
    "a string of 10 MB": () => "x".repeat(10_000_000),
    "10 MB of control characters": () => "\u0001".repeat(10_000_000),
    "10 MB of quotes in a field": () => ({ field: '"'.repeat(10_000_000) }),
    "a hundred thousand levels": () => deep(100_000),
    "a chain of 50,000 causes": () => errors(50_000),
    "an error with shared causes": () =>
      range(60).reduce<Error>((cause) => new AggregateError([cause, cause], "two", { cause }), new Error("leaf")),
    "a toJSON that gives itself anew": () => {
      const endlessly = (): object => ({ toJSON: endlessly, next: 1 });
      return { value: { toJSON: endlessly } };
    },
    "a toJSON that gives a deeper value each time": () => {
      const deeper = (): object => ({ value: { toJSON: deeper } });
      return { toJSON: deeper };
    },
    "a toJSON that logs": (logger) => ({
      toJSON() {
        logger.info(this);
        return "logged";
      },
    }),
    "a getter that logs and throws": (logger) => ({
      get value() {
        logger.warn({ again: this });
        throw new Error("thrown");
      },
    }),
    "a getter that throws a proxy": () => ({
      get value(): never {
        throw new Proxy({}, { get: thrower, getPrototypeOf: thrower });
      },
    }),
    "a getter that closes the logger": (logger) => ({
      get value() {
        void logger.flush(0);
        return 1;
      },
    }),
    "an Error whose properties throw": () => {
      const error = new Error("x");
      for (const name of ["stack", "name", "message", "cause"]) Object.defineProperty(error, name, { get: thrower });
      return error;
    },
    "a date out of range, an invalid URL's error, a revoked proxy": () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return [new Date(8.64e15 + 1), proxy, Object.create(proxy)];
    },
  };
  for (const [title, make] of Object.entries(values)) {
    it(title, { timeout: 60_000 }, async (t) => {
      const sent: LogEvent[] = [];
      const losses: Loss[] = [];
      const loggers = [
        { format: "json", overflow: "truncate" } as const,
        { format: "text", overflow: "truncate" } as const,
        { format: "json", overflow: "truncate", redact: ["password", "a.*.b"] } as const,
      ].map(
        (options) =>
          new CloudwatchLogger(GROUP, {
            ...options,
            // Whatever is larger is broken off.
            maxQueueBytes: 2 ** 20,
            maxBatchBytes: 2 ** 18,
            client: recorder(sent),
            onLoss: (loss) => losses.push(loss),
          }),
      );
      const from = process.cpuUsage();
      for (const logger of loggers) {
        const value = make(logger);
        logger.info(value);
        logger.info("as a field", { value });
        conserved(logger.stats());
      }
      const { user, system } = process.cpuUsage(from);
      const ms = (user + system) / 1_000;
      // Six times a walk that is cut off at the size of the queue.
      assert.ok(ms < 7_500, `it took ${ms} ms of processor time`);
      for (const logger of loggers) {
        const stats = conserved(await logger.close());
        assert.equal(stats.pending, 0);
        assert.ok(stats.delivered >= 2, "the event and its neighbour arrive, cut where need be");
      }
      for (const { message } of sent) assert.ok(Buffer.byteLength(message) + 26 <= 1_048_576);
      t.diagnostic(`${Math.round(ms)} ms`);
    });
  }

  it("a value that logs itself at every level stops somewhere", async () => {
    const sent: LogEvent[] = [];
    const logger = new CloudwatchLogger(GROUP, { client: recorder(sent) });
    const value = {
      get left() {
        logger.info("left", this);
        return 1;
      },
      get right() {
        logger.info("right", this);
        return 2;
      },
    };
    logger.info(value);
    const stats = conserved(await logger.close());
    assert.ok(stats.logged > 1 && stats.logged < 100_000, `${stats.logged} events`);
    assert.equal(sent.length, stats.delivered);
  });
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function serve(t: TestContext, options: CloudwatchLoggerOptions = {}) {
  const service = await LocalCloudWatchLogs.start();
  const errors: CloudwatchLoggerError[] = [];
  const losses: Loss[] = [];
  const logger = new CloudwatchLogger(GROUP, {
    endpoint: service.endpoint,
    region: "us-east-1",
    credentials: CREDENTIALS,
    logStreamName: STREAM,
    onError: (error) => errors.push(error),
    onLoss: (loss) => losses.push(loss),
    ...options,
  });
  t.after(async () => {
    await logger.close(0);
    await service.close();
    assert.deepEqual(service.violations, [], "no limit of CloudWatch Logs was broken");
  });
  return { service, logger, errors, losses };
}

/** A client that never answers. */
function nowhere(): { send(): Promise<unknown> } {
  return { send: () => new Promise(() => {}) };
}

/** A client that takes everything. */
function recorder(sent: LogEvent[]): { send(command: never): Promise<unknown> } {
  return {
    send: async (command) => {
      const { input } = command as { input: { logEvents?: LogEvent[] } };
      sent.push(...(input.logEvents ?? []));
      return {};
    },
  };
}

function messages(service: LocalCloudWatchLogs): string[] {
  return service.events(GROUP).map(({ message }) => message);
}

/** Everything that is printed while a test runs. */
function captured(t: TestContext): string[] {
  const printed: string[] = [];
  for (const method of ["debug", "log", "info", "warn", "error", "trace"] as const) {
    t.mock.method(console, method, (format: string, ...values: unknown[]) =>
      printed.push(format === "%s" ? String(values[0]) : [format, ...values].join(" ")),
    );
  }
  return printed;
}

/** Walks everything that can be reached, hidden properties and prototypes' own ones as well. */
function assertSecretFree(told: unknown, secrets: readonly string[] = SECRETS): void {
  const seen = new Set<unknown>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value === "string") {
      for (const secret of secrets) assert.equal(value.includes(secret), false, `${path} shows ${secret}: ${value}`);
    }
    if (typeof value === "function" || typeof value !== "object" || value === null || seen.has(value)) return;
    seen.add(value);
    for (const key of Reflect.ownKeys(value)) {
      walk(key, path);
      walk((value as Record<PropertyKey, unknown>)[key], `${path}.${String(key)}`);
    }
  };
  walk(told, "told");
  walk(String(told), "text");
  walk(inspect(told, { depth: 10, showHidden: true }), "inspected");
}

/** What would be there, had a prototype been polluted. */
function pollution(): string[] {
  return ["polluted", "time", "a"].filter((name) => name in {} || name in [] || name in (() => {}));
}

function list(path: string): string[] {
  try {
    return lstatSync(path).isDirectory()
      ? readdirSync(path, { recursive: true }).map(String)
      : [String(lstatSync(path).mtimeMs)];
  } catch {
    return [];
  }
}

function thrower(): never {
  throw new Error("thrown");
}
