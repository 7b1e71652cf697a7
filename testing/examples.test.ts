/**
 * The recipes of examples/ that are more than a host of `stream()` (those are in hosts.test.ts): each program as it
 * stands, in a process of its own, with the built package, against the local service.
 *
 * The libraries come from examples/node_modules.
 */
import assert from "node:assert/strict";
import { type ExecFileOptions, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, realpath, rm, symlink } from "node:fs/promises";
import { createServer, request } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CloudwatchLogger, type CloudwatchLoggerOptions } from "../cloudwatch.ts";
import "./libraries.ts";
import { LocalCloudWatchLogs, type LocalCloudWatchLogsOptions } from "./local-cloudwatch.ts";
import { type Ended, Program } from "./support.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const EXAMPLES = join(ROOT, "examples");
const GROUP = "my-app";
const CREDENTIALS = { accessKeyId: "AKIDTEST", secretAccessKey: "correct-horse" };
/** A Node.js that uses proxies, where the one that runs this does not. Pinned; the one of the matrix. */
const NODE_WITH_PROXY = "24.21.0";

// biome-ignore lint/suspicious/noExplicitAny: events are looked into without ceremony
type Json = any;

/** Holds the built package, and the programs with the package and the libraries as their node_modules. */
let temporary = "";
let project = "";

before(async () => {
  temporary = await realpath(await mkdtemp(join(tmpdir(), "cwlogger-examples-")));
  project = join(temporary, "examples");
  await buildPackage();
  await makeProject();
});

after(() => rm(temporary, { recursive: true, force: true }));

// ── Frameworks ──────────────────────────────────────────────────────────────────────────────────────────────────────

describe("frameworks", { concurrency: 2 }, () => {
  check("nest.mjs keeps the context as a field and maps the levels", async (world) => {
    await world.run(["nest.mjs"], { env: { LOG_LEVEL: "trace" } });
    const events = world.json();
    const starting = events.find(({ context }) => context === "NestFactory");
    assert.equal(starting.message, "Starting Nest application...", "what was logged before useLogger() is there");
    const orders = events.filter(({ context }) => context === "OrdersService");
    assert.deepEqual(
      orders.map(({ level, message, orderId }) => [level, message, orderId]),
      [
        ["INFO", "order placed", 17],
        ["TRACE", "asking the bank", undefined],
        ["ERROR", "cannot charge", undefined],
        ["WARN", "card declined", 17],
      ],
    );
    assert.match(orders[2].stack, /^Error: card declined\n.*nest\.mjs/);
    assert.match(orders[3].error.stack, /^Error: card declined\n.*nest\.mjs/);
    for (const { message } of events) assert.equal(typeof message, "string");
  });

  for (const [program, failure] of [
    ["hono.mjs", { path: "/orders/x", status: 500, message: "no order has this id" }],
    ["koa.mjs", { path: "/orders/13", status: 500, message: "card declined" }],
  ] as const) {
    check(`${program} answers, and every event has the id of its request`, async (world) => {
      await world.serve(program, async (ask) => {
        const answers = await Promise.all([ask("/orders/17", "r-1"), ask("/orders/18", "r-2")]);
        assert.deepEqual(
          answers.map(({ status }) => status),
          [200, 200],
        );
        const failed = await ask(failure.path, "r-3");
        assert.equal(failed.status, failure.status);
        assert.deepEqual(JSON.parse(failed.text), { error: "internal error" });
      });
      const of = (id: string) => world.json().filter(({ requestId }) => requestId === id);
      for (const [id, order] of [
        ["r-1", 17],
        ["r-2", 18],
      ] as const) {
        const [read, answered, ...others] = of(id);
        assert.deepEqual(others, []);
        assert.deepEqual([read.message, Number(read.orderId)], ["order read", order]);
        assert.deepEqual([answered.message, answered.status], [`GET /orders/${order}`, 200]);
      }
      const [error, answered, ...others] = of("r-3");
      assert.deepEqual(others, []);
      assert.deepEqual([error.level, error.message], ["ERROR", failure.message]);
      assert.ok(error.error.stack.includes(program), error.error.stack);
      assert.equal(answered.status, failure.status);
      assert.equal(world.events().length, 6);
    });
  }

  check("express-morgan.mjs has the request's id in morgan's lines, the answer and the error", async (world) => {
    await world.serve("express-morgan.mjs", async (ask) => {
      const answer = await ask("/orders/17", "r-1");
      assert.equal(answer.id, "r-1");
      const failed = await ask("/orders/%E0%A4%A", undefined);
      assert.match(failed.id ?? "", /^[\w-]{36}$/, "it makes an id where there is none");
    });
    const messages = world.events().map(({ message }) => message);
    const lines = messages.filter((message) => !message.startsWith("{"));
    assert.equal(lines.length, 2);
    for (const line of lines) {
      const [, path, id] = / "GET (\S+)" \d{3} \d+ (\S+) "-" "test"$/.exec(line) ?? assert.fail(line);
      const events = messages.filter((message) => message.includes(`"requestId":"${id}"`));
      assert.deepEqual(
        events.map((event) => JSON.parse(event).level),
        [path === "/orders/17" ? "INFO" : "ERROR"],
      );
    }
  });
});

// ── Loggers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("loggers", { concurrency: 2 }, () => {
  check("logtape.mjs", async (world) => {
    await world.run(["logtape.mjs"]);
    const events = world.json();
    assert.deepEqual(
      events.map(({ level, message, category }) => [level, message, category]),
      [
        ["INFO", "order 17 placed by { name: 'Ada' }", "my-app.orders"],
        ["WARN", "stock is low", "my-app.orders"],
        ["ERROR", "cannot charge", "my-app.orders"],
      ],
    );
    assert.deepEqual([events[0].orderId, events[0].user, events[1].requestId], [17, { name: "Ada" }, "r-1"]);
    assert.match(events[2].error.stack, /^Error: card declined\n.*logtape\.mjs/);
  });

  for (const name of ["tslog", "tslog4"]) {
    check(`tslog.mjs with ${versionOf(name)}`, async (world) => {
      const text = readFileSync(join(EXAMPLES, "tslog.mjs"), "utf8").replace('from "tslog"', `from "${name}"`);
      writeFileSync(join(project, `with-${name}.mjs`), text);
      await world.run([`with-${name}.mjs`]);
      const [placed, stock, charge, cache, ...others] = world.json();
      assert.deepEqual(others, []);
      assert.deepEqual(placed, { level: "INFO", message: "order placed", name: "orders", orderId: 17 });
      assert.deepEqual(stock, { level: "WARN", message: "stock of apples is low", name: "stock" });
      assert.deepEqual([charge.level, charge.message, charge.name], ["ERROR", "cannot charge", "orders"]);
      assert.match(charge.error.stack, /^Error: card declined\n.*with-tslog/);
      assert.deepEqual(cache, { level: "TRACE", name: "orders", cache: "warm" });
    });
  }

  check("opentelemetry.mjs: each event has the ids of the span in which it was logged", async (world) => {
    const { stdout } = await world.run(["opentelemetry.mjs"]);
    // What the exporter has printed, a span after the other.
    const spans = Object.fromEntries(
      stdout.split(/^\}$/m).map((span) => {
        const find = (pattern: RegExp) => pattern.exec(span)?.[1];
        const ids = { traceId: find(/^ {2}traceId: '(\w{32})'/m), spanId: find(/^ {2}id: '(\w{16})'/m) };
        return [find(/^ {2}name: '(.+)'/m), ids];
      }),
    );
    assert.ok(spans["charge"]?.traceId && spans["charge"].spanId && spans["place order"]?.spanId, stdout);
    assert.notEqual(spans["charge"].spanId, spans["place order"].spanId);
    assert.deepEqual(world.json(), [
      { level: "INFO", message: "started" },
      { level: "INFO", message: "order received", ...spans["place order"], orderId: 17 },
      { level: "INFO", message: "card charged", ...spans["charge"] },
    ]);
  });
});

// ── On the way to production ────────────────────────────────────────────────────────────────────────────────────────

describe("bundles, development, tests", { concurrency: 2 }, () => {
  check("bundle.mjs: what esbuild and webpack make sends events", async (world) => {
    await world.run(["bundle.mjs"]);
    for (const [index, bundle] of ["esbuild.cjs", "esbuild.mjs", "webpack.cjs"].entries()) {
      const load = `const { default: bundle, handler = bundle.handler } = await import("./dist/${bundle}")`;
      const program = `${load}; await handler({ orderId: ${index} }, { awsRequestId: "r-${index}" });`;
      await world.run(["--input-type=module", "-e", program]);
      const [received, ...others] = world.json().slice(index);
      assert.deepEqual(others, []);
      const event = { level: "INFO", message: "order received", requestId: `r-${index}`, orderId: index };
      assert.deepEqual(received, event, bundle);
    }
  });

  const shown = /^\d\d:\d\d:\d\d\.\d{3} INFO order placed \{"orderId":17\}$/m;

  check("local-development.mjs prints for people without LOG_GROUP, and needs no service", async (world) => {
    const { stdout, stderr } = await world.run(["local-development.mjs"], { prints: true });
    assert.match(stdout, shown);
    assert.match(stderr, /^\d\d:\d\d:\d\d\.\d{3} WARN stock is low \{"requestId":"r-1"\}$/m);
    assert.match(stderr, /ERROR Error: card declined\n.*local-development\.mjs/);
    assert.deepEqual(world.service.requests, []);
  });

  check("local-development.mjs with LOG_GROUP sends JSON and prints too", async (world) => {
    const { stdout } = await world.run(["local-development.mjs"], { prints: true, env: { LOG_GROUP: GROUP } });
    assert.match(stdout, shown);
    const [placed, ...others] = world.json();
    assert.deepEqual(placed, { level: "INFO", message: "order placed", orderId: 17 });
    assert.equal(others.length, 2);
  });

  check("jest.spec.cjs with Jest's defaults", async (world) => {
    const { stdout, stderr } = await world.run(["node_modules/jest/bin/jest.js", "jest.spec.cjs"], { prints: true });
    assert.match(stderr, /^Tests: +2 passed, 2 total$/m);
    assert.doesNotMatch(stdout + stderr, /did not exit|console\.|cwlogger:/);
    assert.deepEqual(world.service.requests, [], "the client is a double");
  });

  check("vitest.spec.mjs with Vitest's defaults", async (world) => {
    const { stdout, stderr } = await world.run(["node_modules/vitest/vitest.mjs", "run", "vitest.spec.mjs"]);
    assert.match(stdout, /Tests {2}3 passed \(3\)/);
    assert.equal(stderr, "");
    assert.deepEqual(world.service.requests, [], "the client is a double");
  });
});

// ── Metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("metrics in Embedded Metric Format", () => {
  const definition = {
    Timestamp: 1_790_000_000_000,
    CloudWatchMetrics: [{ Namespace: GROUP, Dimensions: [["service"]], Metrics: [{ Name: "orders", Unit: "Count" }] }],
  };
  const fields = { service: "checkout", orders: 1, _aws: definition };

  check("emf.mjs: metrics pass through, and what does not fit is said so", async (world) => {
    await world.run(["emf.mjs"]);
    const [metrics, refused, ...others] = world.json();
    assert.deepEqual(others, []);
    assert.deepEqual(metricsOf(metrics), { orderMs: 12.5, orders: 1 });
    assert.equal(metrics.orderId, 17);
    assert.deepEqual([refused.level, refused.metrics], ["ERROR", ["orders"]]);
    assert.match(refused.reason, /too large/);
    assert.equal(metricsOf(refused), undefined);
  });

  check('"truncate" keeps the metrics where the message is what is too large', async (world) => {
    await world.log({ overflow: "truncate", maxEventBytes: 1_000 }, "x".repeat(2_000), fields);
    const [event, ...others] = world.json();
    assert.deepEqual(others, []);
    assert.ok(event.truncatedBytes > 1_000);
    assert.deepEqual(metricsOf(event), { orders: 1 });
  });

  check('"truncate" and "split" leave no metrics where the fields are what is too large', async (world) => {
    const large = { ...fields, cart: "x".repeat(2_000) };
    await world.log({ overflow: "truncate", maxEventBytes: 1_000 }, "metrics", large);
    await world.log({ overflow: "split", maxEventBytes: 1_000 }, "metrics", large);
    const messages = world.events().map(({ message }) => message);
    assert.ok(messages.length >= 4);
    for (const message of messages) assert.throws(() => JSON.parse(message), SyntaxError);
  });

  check('"split" counts the metrics once for each part: it is not for them', async (world) => {
    await world.log({ overflow: "split", maxEventBytes: 1_000 }, "x".repeat(2_000), fields);
    const parts = world.json();
    assert.ok(parts.length >= 3);
    for (const part of parts) assert.deepEqual(metricsOf(part), { orders: 1 });
  });
});

// ── Network ─────────────────────────────────────────────────────────────────────────────────────────────────────────

describe("network.mjs", { concurrency: 2 }, () => {
  // The name is all that is wanted: the program ends where it would be looked up.
  const preload = `import dns from "node:dns"; import { writeSync } from "node:fs";
    dns.lookup = (name) => { writeSync(1, name); process.kill(process.pid, "SIGKILL"); };`;
  for (const [fips, dualstack, host] of [
    [false, false, "logs.us-east-1.amazonaws.com"],
    [true, false, "logs-fips.us-east-1.amazonaws.com"],
    [false, true, "logs.us-east-1.api.aws"],
    [true, true, "logs-fips.us-east-1.api.aws"],
  ] as const) {
    check(`FIPS ${fips ? "on" : "off"}, dual-stack ${dualstack ? "on" : "off"}: ${host}`, async (world) => {
      const { stdout } = await world.run(["--import", `data:text/javascript,${preload}`, "network.mjs"], {
        ends: "SIGKILL",
        env: {
          AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: "",
          AWS_USE_FIPS_ENDPOINT: String(fips),
          AWS_USE_DUALSTACK_ENDPOINT: String(dualstack),
        },
      });
      assert.equal(stdout, host);
    });
  }

  check("goes through the proxy of the environment: CONNECT, for https", async (world) => {
    const { t, service } = world;
    const node = await nodeWithProxy();
    if (node === undefined) return t.skip(`Node.js ${NODE_WITH_PROXY} cannot be had from npm here`);
    const certificate = makeCertificate("nowhere.invalid");
    if (certificate === undefined) return t.skip("openssl is not installed");
    await using behind = await LocalCloudWatchLogs.start({ tls: certificate });
    const proxy = await startProxy(t, behind.endpoint);
    await world.run(["network.mjs"], {
      node,
      env: {
        AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: "https://nowhere.invalid",
        NODE_USE_ENV_PROXY: "1",
        HTTPS_PROXY: proxy.url,
        NODE_EXTRA_CA_CERTS: certificate.file,
      },
    });
    assert.deepEqual(new Set(proxy.asked), new Set(["CONNECT nowhere.invalid:443"]));
    assert.deepEqual(
      behind.events(GROUP).map(({ message }) => JSON.parse(message)),
      [{ level: "INFO", message: "order placed", orderId: 17 }],
    );
    assert.deepEqual(service.requests, []);
    assert.deepEqual(behind.violations, []);
  });

  check("goes through the proxy of the environment: as it is, for http", async (world) => {
    const { t, service } = world;
    const node = await nodeWithProxy();
    if (node === undefined) return t.skip(`Node.js ${NODE_WITH_PROXY} cannot be had from npm here`);
    const proxy = await startProxy(t, service.endpoint);
    await world.run(["network.mjs"], {
      node,
      env: {
        AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: "http://nowhere.invalid",
        NODE_USE_ENV_PROXY: "1",
        HTTP_PROXY: proxy.url,
      },
    });
    assert.deepEqual(new Set(proxy.asked), new Set(["POST http://nowhere.invalid/"]));
    assert.deepEqual(world.json(), [{ level: "INFO", message: "order placed", orderId: 17 }]);
  });
});

// ── All ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

it("each program has a line in examples/README.md, and a test here or in hosts.test.ts", () => {
  const programs = readdirSync(EXAMPLES).filter((name) => /\.(mjs|cjs|ts)$/.test(name));
  const readme = readFileSync(join(EXAMPLES, "README.md"), "utf8");
  const tests = ["examples", "hosts"].map((name) => readFileSync(join(ROOT, `testing/${name}.test.ts`), "utf8")).join();
  for (const program of programs) {
    assert.ok(readme.includes(`| \`${program}\``), `README.md without ${program}`);
    assert.ok(program === "demo.ts" || tests.includes(program), `no test of ${program}`);
  }
});

// ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Such as `"tslog 4.9.3"`. */
function versionOf(name: string): string {
  const { dependencies } = JSON.parse(readFileSync(join(EXAMPLES, "package.json"), "utf8"));
  return `${name.replace(/\d$/, "")} ${dependencies[name].split("@").at(-1)}`;
}

/** Builds the package as `npm run build` does, but in a folder of its own: other tests may rebuild dist/ meanwhile. */
async function buildPackage(): Promise<void> {
  const folder = join(temporary, "cwlogger");
  for (const part of ["testing", "bin"]) await mkdir(join(folder, part), { recursive: true });
  const { files } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const sources = [
    "package.json",
    "build.mjs",
    "tsconfig.json",
    "LICENSE",
    "testing/local-cloudwatch.ts",
    "bin/cwlogger.ts",
    ...files,
  ];
  for (const file of sources) {
    if (file !== "dist") await cp(join(ROOT, file), join(folder, file), { recursive: true });
  }
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  await command(process.execPath, [join(folder, "build.mjs")]);
}

async function makeProject(): Promise<void> {
  const modules = join(EXAMPLES, "node_modules");
  await mkdir(join(project, "node_modules"), { recursive: true });
  for (const name of readdirSync(EXAMPLES)) {
    if (/\.(mjs|cjs)$|^package\.json$/.test(name)) await cp(join(EXAMPLES, name), join(project, name));
  }
  for (const name of readdirSync(modules)) {
    const target = name === "cwlogger" ? join(temporary, "cwlogger") : join(modules, name);
    if (!name.startsWith(".")) await symlink(target, join(project, "node_modules", name));
  }
}

/** @throws with all that the command has printed; the runner tells no more of a failed hook than "cancelled". */
async function command(program: string, args: string[], options: ExecFileOptions = {}): Promise<string> {
  try {
    return String((await promisify(execFile)(program, args, { cwd: temporary, ...options })).stdout);
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(" ")}\n${stdout}${stderr}`, { cause: error });
  }
}

let nodeFound: Promise<string | undefined> | undefined;

/** The Node.js that runs this, or one from npm: proxies came with 24.5 and 22.21. */
function nodeWithProxy(): Promise<string | undefined> {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > 24 || (major === 24 && minor >= 5) || (major === 22 && minor >= 21)) {
    return Promise.resolve(process.execPath);
  }
  const args = ["-y", "-p", `node-${process.platform}-${process.arch}@${NODE_WITH_PROXY}`, "node", "-p"];
  nodeFound ??= command("npx", [...args, "process.execPath"], { timeout: 60_000 }).then(
    (path) => path.trim(),
    () => undefined,
  );
  return nodeFound;
}

function makeCertificate(name: string): { key: Buffer; cert: Buffer; file: string } | undefined {
  const [key, file] = [join(temporary, "key.pem"), join(temporary, "cert.pem")];
  const names = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
  const kind = ["req", "-x509", "-days", "1", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  try {
    execFileSync("openssl", [...kind, "-keyout", key, "-out", file, ...names], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  return { key: readFileSync(key), cert: readFileSync(file), file };
}

/** A proxy that sends whatever it is asked for to one endpoint, and keeps what it was asked for. */
async function startProxy(t: TestContext, endpoint: string): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const proxy = createServer((incoming, response) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    const { method, headers } = incoming;
    const onward = request(endpoint, { method: method ?? "GET", headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    incoming.pipe(onward);
  });
  proxy.on("connection", (socket) => sockets.add(socket));
  proxy.on("connect", (incoming, socket) => {
    asked.push(`CONNECT ${incoming.url}`);
    const onward = connect(Number(new URL(endpoint).port), "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      socket.pipe(onward).pipe(socket);
    });
    sockets.add(onward);
    for (const end of [socket, onward]) end.on("error", () => [socket, onward].map((one) => one.destroy()));
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  t.after(() => {
    proxy.close();
    for (const socket of sockets) socket.destroy();
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
}

/** What CloudWatch makes of an event, by the specification of the format; undefined where that is nothing. */
function metricsOf({ _aws, ...members }: Json): Record<string, number> | undefined {
  if (_aws === undefined) return undefined;
  assert.ok(Number.isSafeInteger(_aws.Timestamp));
  const metrics: Record<string, number> = {};
  for (const { Namespace, Dimensions, Metrics } of _aws.CloudWatchMetrics) {
    assert.ok(typeof Namespace === "string" && Metrics.length > 0 && Metrics.length <= 100);
    for (const name of Dimensions.flat()) assert.equal(typeof members[name], "string", `dimension ${name}`);
    for (const { Name } of Metrics) {
      assert.ok(Number.isFinite(members[Name]), `metric ${Name}`);
      metrics[Name] = members[Name];
    }
  }
  return metrics;
}

interface RunOptions {
  env?: Record<string, string>;
  node?: string;
  /** The program may print on stderr. */
  prints?: boolean;
  /** How it ends. Default: 0. */
  ends?: number | NodeJS.Signals;
}

/** Asks the program; `id` is the X-Request-Id, of the question and of the answer. */
type Ask = (path: string, id: string | undefined) => Promise<{ status: number; text: string; id: string | null }>;

/** A service, and programs that talk to it. */
class World {
  readonly t: TestContext;
  readonly service: LocalCloudWatchLogs;

  constructor(t: TestContext, service: LocalCloudWatchLogs) {
    this.t = t;
    this.service = service;
  }

  events() {
    return this.service.events(GROUP);
  }

  json(): Json[] {
    return this.events().map(({ message }) => JSON.parse(message));
  }

  async run(args: string[], options: RunOptions = {}): Promise<Ended> {
    return this.#end(await this.start(args, options).ended, options);
  }

  start(args: string[], { env = {}, node = process.execPath }: RunOptions = {}): Program {
    return new Program(
      spawn(node, args, {
        cwd: project,
        env: {
          PATH: process.env.PATH,
          HOME: temporary,
          TMPDIR: temporary,
          NO_COLOR: "1",
          PORT: "0",
          NODE_OPTIONS: "--no-warnings",
          AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: this.service.endpoint,
          AWS_REGION: "us-east-1",
          AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
          AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
          AWS_EC2_METADATA_DISABLED: "true",
          ...env,
        },
      }),
    );
  }

  /** Runs a program that prints its URL and ends in peace on SIGTERM. */
  async serve(name: string, use: (ask: Ask) => Promise<void>): Promise<void> {
    const program = this.start([name]);
    try {
      await program.printed("\n");
      await use(async (path, id) => {
        const headers = { "user-agent": "test", connection: "close", ...(id !== undefined && { "x-request-id": id }) };
        const answer = await fetch(program.stdout.trim() + path, { headers });
        return { status: answer.status, text: await answer.text(), id: answer.headers.get("x-request-id") };
      });
    } catch (error) {
      await program.kill();
      throw error;
    }
    this.#end(await program.kill("SIGTERM"), {});
  }

  /** Logs one event, and delivers it. */
  async log(options: CloudwatchLoggerOptions, message: string, fields: object): Promise<void> {
    const connection = { endpoint: this.service.endpoint, region: "us-east-1", credentials: CREDENTIALS };
    const logger = new CloudwatchLogger(GROUP, { ...connection, ...options });
    logger.info(message, fields);
    await logger.close();
  }

  #end(ended: Ended, { prints = false, ends = 0 }: RunOptions): Ended {
    assert.equal(ended.signal ?? ended.code, ends, ended.stdout + ended.stderr);
    if (!prints) assert.equal(ended.stderr, "");
    return ended;
  }
}

function check(title: string, body: (world: World) => Promise<void>, options: LocalCloudWatchLogsOptions = {}): void {
  it(title, { timeout: 120_000 }, async (t) => {
    await using service = await LocalCloudWatchLogs.start(options);
    await body(new World(t, service));
    assert.deepEqual(service.violations, []);
  });
}
