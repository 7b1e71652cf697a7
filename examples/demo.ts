/**
 * Sends real input to CloudWatch Logs through cwlogger, reads it back through the AWS SDK, and compares.
 *
 *     npm run demo                                       an event for every file under node_modules
 *     npm run demo -- some.log other.log                 the lines of files
 *     some-program | npm run demo                        the lines of standard input; with `-` however late they come
 *     npm run demo -- --aws my-app --region eu-west-1 --profile me
 *
 * Without --aws it talks to a local service (testing/local-cloudwatch.ts) on 127.0.0.1. Exits with 1 when what was
 * read back is not what was logged.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, fstatSync } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CloudWatchLogsClient, GetLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { CloudwatchLogger, type Level } from "../cloudwatch.ts";
import { LocalCloudWatchLogs } from "../testing/local-cloudwatch.ts";

/** Characters logged between two flushes: even with every one of them escaped, they fit the queue. */
const MAX_UNFLUSHED_CHARACTERS = 4_000_000;
/** How long a flush, and CloudWatch Logs until it shows what it has stored, may take. */
const PATIENCE_MS = 60_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { aws: { type: "string" }, region: { type: "string" }, profile: { type: "string" } },
});

// The demo shows the logger: not the SDK's notice about the Node.js versions that it will support next year.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";

const service = values.aws === undefined ? await LocalCloudWatchLogs.start() : undefined;
const connection = service
  ? { endpoint: service.endpoint, region: "us-east-1", credentials: { accessKeyId: "demo", secretAccessKey: "demo" } }
  : {
      ...(values.region !== undefined && { region: values.region }),
      ...(values.profile !== undefined && { profile: values.profile }),
    };
const logGroupName = values.aws ?? "cwlogger-demo";
const logger = new CloudwatchLogger(logGroupName, { ...connection, overflow: "split" });

// 1. Log. Each event is JSON, so what CloudWatch Logs must give back is known: its hash is kept, not the events.
const logged = { events: 0, hash: createHash("sha256") };
let unflushed = 0;

async function log(level: Level, message: unknown, fields: object = {}): Promise<void> {
  logger.log(level, message, fields);
  const event =
    message instanceof Error ? { message: message.message, error: message, ...fields } : { message, ...fields };
  const json = JSON.stringify({ level: level.toUpperCase(), ...event }, errorAsJson);
  logged.events++;
  logged.hash.update(`${json}\n`);
  // A log call does not wait. A program that logs faster than the network takes it has to, or the queue is full one day.
  unflushed += json.length;
  if (unflushed < MAX_UNFLUSHED_CHARACTERS) return;
  unflushed = 0;
  await flush();
}

async function flush(): Promise<void> {
  const { pending } = await logger.flush(PATIENCE_MS);
  if (pending === 0) return;
  await logger.close(0);
  throw new Error(`CloudWatch Logs has not taken ${pending} events within ${PATIENCE_MS} ms`);
}

console.log(
  `${service ? `A CloudWatch Logs runs on this machine, ${service.endpoint}.` : "This goes to AWS."} The last events in it:`,
);

const startedAt = performance.now();
const stopProgress = showProgress();
await log("info", "demo started", { node: process.version, pid: process.pid });
await log("info", "3 MB in one event: αβγ 🚀 ".repeat(100_000));
for await (const { message, fields } of input()) await log("info", message, fields);
await log("warn", "disk almost full", { usedPercent: 91 });
await log("error", new Error("card declined", { cause: new Error("insufficient funds") }), { orderId: 17 });
await log("info", "demo done");
await flush();
stopProgress();
const stats = await logger.close();
const sentAt = performance.now();

// 2. Read back, as any other program could. The service may take a moment until it shows everything.
let stored = await readBack();
while (stored.storedEvents < stats.delivered && performance.now() - sentAt < PATIENCE_MS) {
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  stored = await readBack();
}
const readAt = performance.now();
await service?.close();

// 3. Show, and compare.
for (const line of stored.lastLines) console.log(`  ${line.length > 116 ? `${line.slice(0, 116)}…` : line}`);
console.log();
const rows = {
  "log group": logGroupName,
  "log stream": logger.logStreamName,
  "log calls": logged.events,
  "events sent": stats.logged,
  "events delivered": stats.delivered,
  "events read back": stored.storedEvents,
  "bytes read back": stored.bytes,
  "PutLogEvents requests": stats.requests,
  "seconds to deliver": ((sentAt - startedAt) / 1000).toFixed(2),
  "seconds to read back": ((readAt - sentAt) / 1000).toFixed(2),
};
for (const [name, value] of Object.entries(rows)) {
  console.log(`${name.padEnd(22)} ${typeof value === "number" ? value.toLocaleString("en") : value}`);
}
const same = stored.hash === logged.hash.digest("hex");
if (same && stored.storedEvents === stats.logged && stored.events === logged.events) {
  console.log("\nWhat was read back is what was logged.");
} else {
  console.error("\nWhat was read back is NOT what was logged.");
  process.exitCode = 1;
}

/** Reads the log stream page by page, and puts the parts of split events together. */
async function readBack() {
  const client = new CloudWatchLogsClient(connection);
  const hash = createHash("sha256");
  const result = { events: 0, storedEvents: 0, bytes: 0, lastLines: [] as string[] };
  let split: string[] = [];
  let token: string | undefined;
  for (;;) {
    const page = await client.send(
      new GetLogEventsCommand({
        logGroupName,
        logStreamName: logger.logStreamName,
        startFromHead: true,
        ...(token !== undefined && { nextToken: token }),
      }),
    );
    for (const { timestamp = 0, message = "" } of page.events ?? []) {
      result.storedEvents++;
      result.bytes += Buffer.byteLength(message);
      result.lastLines = [...result.lastLines.slice(-4), `${new Date(timestamp).toISOString()} ${message}`];
      const { part, ...event } = JSON.parse(message);
      if (part) {
        split.push(event.message);
        if (split.length < part.count) continue;
        event.message = split.join("");
        split = [];
      }
      result.events++;
      hash.update(`${JSON.stringify(event)}\n`);
    }
    // The end is where the service gives back the token that it was given.
    if (page.nextForwardToken === token) break;
    token = page.nextForwardToken;
  }
  client.destroy();
  return { ...result, hash: hash.digest("hex") };
}

async function* input(): AsyncGenerator<{ message: string; fields?: object }> {
  if (positionals.length > 0) {
    for (const path of positionals) yield* lines(path === "-" ? process.stdin : createReadStream(path));
  } else if (await hasStandardInput()) {
    yield* lines(process.stdin);
  } else {
    const root = fileURLToPath(new URL("..", import.meta.url));
    for (const name of await readdir(join(root, "node_modules"), { recursive: true })) {
      const path = join(root, "node_modules", name);
      const file = await lstat(path).catch(() => undefined);
      if (!file?.isFile()) continue;
      yield {
        message: "file",
        fields: { path: relative(root, path), bytes: file.size, modified: file.mtime.toJSON() },
      };
    }
  }
}

async function* lines(stream: NodeJS.ReadableStream): AsyncGenerator<{ message: string }> {
  for await (const line of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
    yield { message: line };
  }
}

/** Whether standard input is a pipe or a file that has something to say, for pipes within five seconds. */
async function hasStandardInput(): Promise<boolean> {
  const { stdin } = process;
  const stats = fstatSync(stdin.fd);
  if (!stats.isFIFO() && !stats.isFile() && !stats.isSocket()) return false;
  await once(stdin, "readable", { signal: AbortSignal.timeout(5_000) }).catch(() => {});
  if (stdin.readableLength > 0) return true;
  console.error("Nothing comes from standard input: logging the files under node_modules instead (`-` waits for it).");
  stdin.destroy();
  return false;
}

function errorAsJson(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  return { name: value.name, message: value.message, stack: value.stack, cause: value.cause };
}

/** A line on stderr, where that is a terminal. Returns the function that ends it. */
function showProgress(): () => void {
  const { stderr } = process;
  if (!stderr.isTTY) return () => {};
  const show = () => {
    const { logged, delivered, requests } = logger.stats();
    stderr.write(`\r${logged} events sent, ${delivered} delivered with ${requests} requests`);
  };
  const timer = setInterval(show, 100);
  return () => {
    clearInterval(timer);
    show();
    stderr.write("\r\x1b[K");
  };
}
