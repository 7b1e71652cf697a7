#!/usr/bin/env node
/** The command `cwlogger`: see HELP. Where it is interrupted, its exit code is 128 and the signal's number. */
import { createRequire } from "node:module";
import { constants } from "node:os";
import { parseArgs } from "node:util";
import { CloudwatchLogger, LEVELS } from "../cloudwatch.ts";

const HELP = `Usage: some-program | npx cwlogger <logGroup> [options]
Sends each line to Amazon CloudWatch Logs, and passes it on. A line of JSON keeps its time.
Exit code: 0, or 1 where an event was lost, or 2 for wrong usage.

  --stream <name>      log stream; {date}, {hostname}, {pid} are filled in (default: a new one)
  --region <region>    AWS region (default: as the AWS SDK finds it)
  --profile <profile>  profile in ~/.aws
  --endpoint <url>     another endpoint than AWS's
  --retention <days>   retention of the log group, where it has to be created
  --quiet              do not pass the lines on to stdout

Usage: npx cwlogger local [--port <port>]
Runs a CloudWatch Logs on this machine, in memory, and shows events as they arrive (default port: 4566).
`;
const TEXT = { type: "string" } as const;
const FLAG = { type: "boolean" } as const;
const SEND = { stream: TEXT, region: TEXT, profile: TEXT, endpoint: TEXT, retention: TEXT, quiet: FLAG };
const OPTIONS = { ...SEND, port: TEXT, help: FLAG, version: FLAG };

/** How long the end takes at most while nothing gets through, as in the logger; and after a signal in any case. */
const END_MS = 8_000;
/** A program that is interrupted together with this one may still write its last words. */
const GRACE_MS = 1_000;
const TICK_MS = 200;
const GREY = 90;
const COLOURS: Record<string, number> = { FATAL: 31, ERROR: 31, WARN: 33, INFO: 32, DEBUG: 36, TRACE: GREY };

const { stdin, stdout, stderr } = process;
const hasColours = stdout.isTTY && stdout.hasColors(); // which knows NO_COLOR
// That nobody reads any more is no reason to stop delivering.
let canPrint = true;
stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
  if (canPrint && code !== "EPIPE") stderr.write(`cwlogger: cannot write to standard output: ${message}\n`);
  canPrint = false;
});
stderr.on("error", () => {});

const { values, positionals } = orFail(() => parseArgs({ options: OPTIONS, allowPositionals: true }));
const [target, extra] = positionals;
const misplaced = Object.keys(values).find((name) => (name === "port") !== (target === "local"));
if (values.help) stdout.write(HELP);
else if (values.version) stdout.write(`${createRequire(import.meta.url)("../package.json").version}\n`);
else if (target === undefined) fail("name a log group: some-program | cwlogger <logGroup>");
else if (extra !== undefined) fail(`unexpected argument '${extra}'`);
else if (misplaced) fail(`'--${misplaced}' does not go with '${target}'`);
else if (target === "local") await local(values.port);
else {
  const { stream: logStreamName, retention, quiet = false, region, profile, endpoint } = values;
  const retentionInDays = retention === undefined ? undefined : Number(retention);
  const options = { logStreamName, region, profile, endpoint, retentionInDays, overflow: "split" } as const;
  const logger = orFail(() => new CloudwatchLogger(target, options));
  await send(logger, quiet);
}

function orFail<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    // What follows is advice in several lines.
    const [message = ""] = (error as Error).message.split(/\n|\. To specify/, 1);
    return fail(message.replace("Cannot create CloudwatchLogger: ", ""));
  }
}

function fail(message: string): never {
  stderr.write(`cwlogger: ${harmless(message).replaceAll("\n", " ")}; see --help\n`);
  process.exit(2);
}

/** `cwlogger <logGroup>` */
async function send(logger: CloudwatchLogger, isQuiet: boolean): Promise<void> {
  const sink = logger.stream();
  // As `stdin.pipe(sink)` does: where the queue is full, such a stream lets its source wait.
  sink.emit("pipe", stdin);
  const accepted = (data: Buffer) => new Promise<unknown>((resolve) => sink.write(data, resolve));
  const lineFeed = Buffer.from("\n");

  let wake = () => {};
  const woken = () => new Promise<void>((resolve) => (wake = resolve));
  for (const event of ["readable", "end", "close"]) stdin.on(event, () => wake());
  for (const event of ["drain", "error"]) stdout.on(event, () => wake());
  stdin.on("error", ({ message }) => {
    stderr.write(`cwlogger: cannot read standard input: ${message}\n`);
    process.exitCode = 1;
  });

  /** Read, and perhaps not in the queue yet. */
  let chunk: Buffer | null = null;
  let isLineStart = true;
  let isRead = false;
  let [settled, settledAt] = [0, 0];
  let signalledAt = Number.POSITIVE_INFINITY;
  const isStopped = () => performance.now() > signalledAt + GRACE_MS;
  const giveUp = () => {
    sink.write(lineFeed);
    for (; chunk !== null; chunk = stdin.read()) stderr.write(chunk);
    // Here the logger prints what it has.
    process.exit(process.exitCode ?? 1);
  };
  onSignal(() => (signalledAt = performance.now()), giveUp);
  // Keeps the process alive, too: timers of the logger do not.
  const ticker = setInterval(() => {
    const now = performance.now();
    if (isStopped()) wake();
    const { logged, delivered, pending } = logger.stats();
    if (stderr.isTTY && isLineStart) stderr.write(`\x1b[K${pending} waiting, ${delivered} delivered\r`);
    const isHeldUp = canPrint && stdout.writableLength > 0;
    if (!isRead || isHeldUp || settled !== logged - pending) [settled, settledAt] = [logged - pending, now];
    if (now - Math.min(settledAt, signalledAt) > END_MS) giveUp();
  }, TICK_MS);

  while (!isRead) {
    isRead = isStopped() || stdin.readableEnded || stdin.destroyed;
    chunk = stdin.read();
    if (chunk !== null) {
      if (canPrint && !isQuiet) {
        if (stdout.isTTY && stderr.isTTY && isLineStart) stderr.write("\x1b[K");
        isLineStart = !stdout.isTTY || chunk.at(-1) === lineFeed[0];
        stdout.write(chunk);
      }
      while (canPrint && stdout.writableNeedDrain && !isStopped()) await woken();
      await accepted(chunk);
      chunk = null;
    } else if (!isRead) await woken();
  }
  await accepted(lineFeed);
  // A day: the ticker knows better when to give up.
  const { logged, delivered } = await logger.close(86_400_000);
  clearInterval(ticker);
  if (delivered < logged) process.exitCode ??= 1;
  if (stderr.isTTY) stderr.write(`${isLineStart ? "" : "\n"}\x1b[K${delivered} of ${logged} log events delivered\n`);
  stdin.destroy();
  // For as long as a reader of stdout takes, unless a signal asked for the end.
  if (Number.isFinite(signalledAt)) setTimeout(() => process.exit(), GRACE_MS).unref();
}

function onSignal(first: () => unknown, second: () => unknown): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      const isSecond = Number(process.exitCode) > 128;
      process.exitCode = 128 + constants.signals[signal];
      (isSecond ? second : first)();
    });
  }
}

/** `cwlogger local` */
async function local(port = "4566"): Promise<void> {
  if (!/^\d{1,5}$/.test(port)) fail(`'--port' must be a number up to 65535, not '${port}'`);
  const { LocalCloudWatchLogs } = await import("../testing/local-cloudwatch.ts");
  const service = await LocalCloudWatchLogs.start({ port: Number(port), maxRequests: 0 }).catch(({ message }) =>
    fail(`cannot use port ${port}, choose another by --port: ${message}`),
  );
  service.options.onEvents = (_logGroupName, stream, events) => {
    if (canPrint) stdout.write(events.map(({ timestamp, message }) => present(stream, timestamp, message)).join(""));
  };
  onSignal(() => service.close(), process.exit);
  const keys = "AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local";
  stdout.write(`${service.endpoint}\n`);
  stderr.write(`Start a program with AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=${service.endpoint} ${keys}\n`);
}

/** An event for people: time, stream, level, message, fields, and a stack below. */
function present(stream: string, timestamp: number, text: string): string {
  // biome-ignore lint/suspicious/noExplicitAny: whatever a program logs
  let event: any = { message: text };
  try {
    if (text.startsWith("{")) event = JSON.parse(text);
  } catch {}
  const { level, msg, message = msg ?? "", error, ...fields } = event;
  const { stack, ...rest } = Object(error);
  if (error !== undefined) fields.error = stack ? rest : error;
  // pino's and bunyan's, which is shown already.
  if (fields.time === timestamp) delete fields.time;
  const time = new Date(timestamp - new Date(timestamp).getTimezoneOffset() * 60_000).toISOString().slice(11, 23);
  const known = Object.entries(LEVELS).find(([, number]) => number === level)?.[0];
  const name = harmless(known ?? level ?? "").toUpperCase();
  const parts = [
    harmless(`${time} ${stream}`, GREY),
    harmless(name, COLOURS[name]),
    harmless(message),
    harmless(Object.keys(fields).length > 0 ? fields : "", GREY),
  ];
  return `${parts.filter(Boolean).join(" ")}${stack ? `\n    ${harmless(stack)}` : ""}\n`;
}

/** Text for a terminal: without escape sequences, and further lines cannot be taken for other events. */
function harmless(value: unknown, colour?: number): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  const safe = text.replace(/(?![\t\n])[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu, escaped).replaceAll("\n", "\n    ");
  return hasColours && colour && text ? `\x1b[${colour}m${safe}\x1b[0m` : safe;
}
