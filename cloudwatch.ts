// cwlogger 1.0.0 · sends a program's logs to Amazon CloudWatch Logs · MIT licence, at the end of this file
/* ═══════════════════════════════════════════════ 1 · Manual ═══════════════════════════════════════════════

  const logger = new CloudwatchLogger("my-app");
  logger.info("order placed", { orderId: 17, totalCents: 4200 });
  logger.error(new Error("card declined"), { orderId: 17 });
  await logger.close();

This file is the whole logger: copy it into a project and npm install @aws-sdk/client-cloudwatch-logs. Importing it does
nothing, the constructor does no I/O, and the SDK is loaded when the first batch goes.

Guarantees
- A log call never waits for the network and never throws, but for an oversize event under overflow "error".
- logged === delivered + rejected + dropped + pending, at every moment; what is not delivered has a reason.
- Events keep the order of their calls. At least once: only a request whose outcome stayed unknown goes twice.
- Memory is bounded by `maxQueueBytes`; above 80 % of it only warn and worse are taken, and nothing taken is evicted.
- Every limit of PutLogEvents is kept, and a bad event never costs its neighbours.

How an event travels
  log ─ level? → format → fits? (error|truncate|split) → queue (bounded) ─ full? → dropped
                                                            │ count, bytes, age, flush, close
                                                          batch → sender → delivered | rejected | retry
                                                                              └→ stats, onError, onLoss
An event is written once, in the bytes of the request that will carry it: room 7 writes the JSON of an event as the JSON
string that PutLogEvents wants, and counts its size on the way. A batch takes those bytes, and is the body of one request.

Calls made to AWS, and the policy they need
  logs:PutLogEvents        always
  logs:CreateLogStream     for the default log stream, or when a put finds the log stream missing
  logs:CreateLogGroup      when that finds the log group missing; not with `createLogGroup: false`
  logs:PutRetentionPolicy  after creating a log group, with `retentionInDays`
  logs:TagResource         while creating a log group, with `tags`
No Describe call is ever made.

Rooms
  2 imports · 3 limits and pauses · 4 types, options and their defaults · 5 errors and reports · 6 CloudwatchLogger ·
  7 format: JSON, text, templates, redaction, escapes · 8 size: truncate, split · 9 queue and batch: order, limits, flush ·
  10 sender: the SDK, errors, retries, creation, gzip · 11 spool: crash safety · 12 stream: pino, winston, bunyan, pipes ·
  13 utilities: rules of the options, printing, the end of the process · 14 licence
*/

// ═══════════════════════════════════════════════ 2 · Imports ════════════════════════════════════════════════

import type { AsyncLocalStorage } from "node:async_hooks";
import type * as Fs from "node:fs";
import type { Agent as HttpAgent } from "node:http";
import { createRequire as requireFrom } from "node:module";
import type * as net from "node:net";
import type { Writable } from "node:stream";
import type * as Sdk from "@aws-sdk/client-cloudwatch-logs";

// ═══════════════════════════════════════════════ 3 · Limits ═════════════════════════════════════════════════

/**
 * The levels and their weights, ascending. `"silent"` is a threshold only: nothing passes it.
 *
 * @example
 * ```ts
 * const isWorse = LEVELS.error > LEVELS.warn;
 * ```
 */
export const LEVELS = Object.freeze({ trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60, silent: 70 });

/**
 * The limits of CloudWatch Logs that this logger keeps. Source: the API reference of PutLogEvents, CreateLogGroup,
 * CreateLogStream and PutRetentionPolicy, and the service's quotas page; checked 2026-11-20.
 *
 * @example
 * ```ts
 * new CloudwatchLogger("my-app", { maxEventBytes: LIMITS.maxBatchBytes / 4 }); // before April 2025
 * ```
 */
export const LIMITS = Object.freeze({
  /** PutLogEvents: bytes of a batch, the sum of each message's UTF-8 bytes and {@link LIMITS.eventOverheadBytes}. */
  maxBatchBytes: 1_048_576,
  /** PutLogEvents: events of a batch. */
  maxBatchEvents: 10_000,
  /** PutLogEvents: bytes that an event counts beyond its message. */
  eventOverheadBytes: 26,
  /** This logger: the smallest `maxEventBytes` and `maxBatchBytes`, room for a level, a part and some text. */
  minEventBytes: 256,
  /** PutLogEvents: milliseconds that a batch must span less than. */
  maxBatchSpanMs: 86_400_000,
  /** PutRetentionPolicy: the days there are. */
  retentionInDays: Object.freeze([
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
  ]),
  /** CreateLogGroup, CreateLogStream: characters of a name. */
  maxNameLength: 512,
  /** CreateLogGroup: tags, characters of a tag's key and of its value, characters of a KMS key's id or ARN. */
  maxTags: 50,
  maxTagKeyLength: 128,
  maxTagValueLength: 256,
  maxKmsKeyIdLength: 256,
});

/** Up to this share of `maxQueueBytes` every level is taken; the rest is headroom for warn and worse. */
const QUEUE_HEADROOM = 0.8;
/** Below this share there is room again: for a gap notice, for a source that was held back. */
const QUEUE_ROOM = 0.5;
/** Pauses between two tries of a request, before jitter. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 10_000;
/**
 * The longest pause where an account throttles some requests and takes others: so many loggers share its quota, and a
 * longer one leaves the quota unused when the others are done.
 */
const SHARED_RETRY_MAX_MS = 2_000;
/** The longest pause while the configuration is at fault: a repaired policy is found out soon. */
const CONFIGURATION_RETRY_MS = 30_000;
/** Throttling lengthens the time that batches have to fill, up to this: many loggers share the quota of an account. */
const PACE_MAX_MS = 30_000;
/** A request without an answer for so long is given up and sent again. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Transient trouble is normal in small doses; a batch that fails this often in a row is worth an `onError`. */
const REPORT_AFTER_TRIES = 3;
/** Reports of one kind come at most this often. */
const REPORT_INTERVAL_MS = 1_000;
/** Smaller requests are not worth gzip. */
const GZIP_MIN_BYTES = 1_024;
/** Deeper values are cut off; log calls made by getters of logged values stop at so many within each other. */
const MAX_DEPTH = 500;
const MAX_NESTED_CALLS = 4;

// ═══════════════════════════════════════════════ 4 · Types ══════════════════════════════════════════════════

/** A level that an event can have. */
export type Level = Exclude<keyof typeof LEVELS, "silent">;

/** The lowest level that is logged; `"silent"` logs nothing. */
export type Threshold = keyof typeof LEVELS;

/** Named values of an event. */
export type Fields = Record<string, unknown>;

/** What a format function gets: `timestamp` in ms since the epoch; `error` where an Error was logged. */
export interface FormatEvent {
  timestamp: number;
  level: Level;
  message: string;
  fields: Fields;
  error?: unknown;
}

/** An event as CloudWatch Logs knows it: `timestamp` in ms since the epoch, `message` as formatted. */
export interface LogEvent {
  timestamp: number;
  message: string;
}

/** Why AWS did not store an event that it was sent. */
export type RejectedReason = "tooOld" | "tooNew" | "expired" | "invalid";

/**
 * Why the logger did not send an event: larger than `maxEventBytes`; no room in the queue; logged after `close()`; left
 * over when `close()` or the process ended.
 */
export type DroppedReason = "oversize" | "queueFull" | "closed" | "unsent";

/** Events that will not be delivered, as told to `onLoss`. */
export interface Loss {
  reason: RejectedReason | DroppedReason;
  count: number;
  /** The events themselves; empty for `queueFull` and `closed`, whose content is not kept. */
  events: LogEvent[];
  /** Timestamps of the oldest and the newest of them, ms since the epoch. */
  from: number;
  to: number;
  /** The trouble behind it, where there is one. */
  cause?: Error;
}

/** Counts since the logger was made; of events, where nothing else is said. */
export interface Stats {
  /** Past the level filter; each part of a split counts. Always `delivered + rejected + dropped + pending`. */
  logged: number;
  delivered: number;
  rejected: number;
  dropped: number;
  /** In the queue or in flight; after `close()`, on disk. */
  pending: number;
  /** PutLogEvents requests, and how many of those carried a batch that had been sent before. */
  requests: number;
  retries: number;
  rejectedReasons: Record<RejectedReason, number>;
  droppedReasons: Record<DroppedReason, number>;
}

/** Static AWS credentials. */
export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string | undefined;
}

/** Anything that sends commands as a `CloudWatchLogsClient` does. */
export interface Client {
  send(command: never, options?: never): Promise<unknown>;
}

/** Options of {@link CloudwatchLogger}. One that is `undefined` has its default. */
export interface CloudwatchLoggerOptions {
  /**
   * The log stream, 1 to 512 characters without `:` and `*`. Filled in at construction: `{timestamp}` (UTC
   * `YYYYMMDDHHMMSSffffff`), `{random}` (3 digits), `{hostname}`, `{pid}`, `{program}`; for each event: `{date}` (UTC
   * `YYYY-MM-DD`). The default is created before the first put, under another name if it is taken.
   * @defaultValue `"{timestamp}{random}"`
   */
  logStreamName?: string | undefined;
  /** AWS region. @defaultValue the SDK's default chain */
  region?: string | undefined;
  /** A profile of the shared AWS files; it beats keys in the environment. @defaultValue the SDK's default chain */
  profile?: string | undefined;
  /** Keys, or a function that provides them. @defaultValue the SDK's default chain */
  credentials?: Credentials | (() => Promise<Credentials & { expiration?: Date }>) | undefined;
  /** URL of the service. @defaultValue the region's */
  endpoint?: string | undefined;
  /** A ready client. Excludes the four above; the logger never destroys it. */
  client?: Client | undefined;
  /** Create a missing log group. @defaultValue `true` */
  createLogGroup?: boolean | undefined;
  /** Retention of a log group that this logger creates; one of {@link LIMITS}`.retentionInDays`. */
  retentionInDays?: number | undefined;
  /** Tags of a log group that this logger creates; up to 50. */
  tags?: Record<string, string> | undefined;
  /** KMS key of a log group that this logger creates; up to 256 characters. */
  kmsKeyId?: string | undefined;
  /** Class of a log group that this logger creates. */
  logGroupClass?: "STANDARD" | "INFREQUENT_ACCESS" | "DELIVERY" | "ESSENTIALS" | undefined;
  /** Passed with every PutLogEvents: 2 to 4 `keyAttributes`, up to 10 `attributes`. */
  entity?: { keyAttributes?: Record<string, string>; attributes?: Record<string, string> } | undefined;
  /** The threshold. @defaultValue `"info"` */
  level?: Threshold | undefined;
  /** Fields of every event. @defaultValue `{}` */
  fields?: Fields | undefined;
  /**
   * `"json"`, `"text"` (`LEVEL message {"fields":"as JSON"}`), a template of `{timestamp}`, `{level}`, `{message}`,
   * `{caller}` and `{anyField}`, or a function.
   * @defaultValue `"json"`
   */
  format?: "json" | "text" | (string & {}) | ((event: FormatEvent) => string) | undefined;
  /**
   * Names whose values become `"[redacted]"`: a bare name at any depth, a dotted path from the top, `*` for one level.
   * @defaultValue `[]`
   */
  redact?: readonly string[] | undefined;
  /** Also print each event to the console. @defaultValue `false` */
  console?: boolean | undefined;
  /** What becomes of an event over `maxEventBytes`. @defaultValue `"error"` */
  overflow?: "error" | "truncate" | "split" | undefined;
  /** Largest event, UTF-8 bytes of its message + 26; 256 to `maxBatchBytes`. @defaultValue `maxBatchBytes` */
  maxEventBytes?: number | undefined;
  /** Largest batch, bytes as the service counts them; 256 to 1,048,576. @defaultValue `1_048_576` */
  maxBatchBytes?: number | undefined;
  /** Largest batch, events; 1 to 10,000. @defaultValue `10_000` */
  maxBatchEvents?: number | undefined;
  /** Longest time that an event waits for its batch to fill, ms; 1 or more. @defaultValue `1_000` */
  flushIntervalMs?: number | undefined;
  /** PutLogEvents at once, 1 to 16; more than one only while full batches are waiting. @defaultValue `4` */
  maxInFlight?: number | undefined;
  /** Bound on events without an outcome, message bytes + 26 each; `maxBatchBytes` or more. @defaultValue `67_108_864` */
  maxQueueBytes?: number | undefined;
  /** Gzip requests where that makes them smaller, until an endpoint refuses it. @defaultValue `false` */
  compress?: boolean | undefined;
  /**
   * Crash safety: an event is in a file of this directory before its call returns, until it is acknowledged. What a dead
   * process has left is sent by the next logger of the same log group. The directory is made for its owner only; loggers
   * and processes may share it.
   */
  spoolDirectory?: string | undefined;
  /** What `close()` and the exit of the process may take at most, ms; 0 or more. @defaultValue `8_000` */
  closeTimeoutMs?: number | undefined;
  /** Signals on which all loggers are closed before the signal takes its effect. @defaultValue `[]` */
  closeOnSignals?: readonly NodeJS.Signals[] | undefined;
  /** Hears of trouble. @defaultValue one line on stderr, rate-limited */
  onError?: ((error: CloudwatchLoggerError) => void) | undefined;
  /** Hears of events that will not be delivered. @defaultValue one line on stderr, rate-limited; `unsent` ones in full */
  onLoss?: ((loss: Loss) => void) | undefined;
}

const DEFAULTS = Object.freeze({
  logStreamName: "{timestamp}{random}",
  createLogGroup: true,
  level: "info" as Threshold,
  format: "json" as Exclude<CloudwatchLoggerOptions["format"], undefined>,
  console: false,
  overflow: "error" as "error" | "truncate" | "split",
  maxBatchBytes: LIMITS.maxBatchBytes,
  maxBatchEvents: LIMITS.maxBatchEvents,
  flushIntervalMs: 1_000,
  maxInFlight: 4,
  maxQueueBytes: 67_108_864,
  compress: false,
  closeTimeoutMs: 8_000 as number,
  closeOnSignals: [] as readonly NodeJS.Signals[],
});

/** The options after validation, defaults in place. */
type Settings = Omit<CloudwatchLoggerOptions, keyof typeof DEFAULTS> & Defaults & { maxEventBytes: number };
type Defaults = { -readonly [Name in keyof typeof DEFAULTS]: (typeof DEFAULTS)[Name] };

// ══════════════════════════════════════════ 5 · Errors and reports ══════════════════════════════════════════

/**
 * Trouble that the logger deals with by itself, as told to `onError`. `code` is one of
 *
 * - `ERR_CONFIGURATION`: credentials, permissions or a missing log group; events wait, one report for each change
 * - `ERR_TRANSIENT`: CloudWatch Logs cannot be reached or throttles, for several tries now; events wait
 * - `ERR_SDK_MISSING`: @aws-sdk/client-cloudwatch-logs is not installed; events wait
 * - `ERR_LOG_GROUP`: tags or retention policy were refused; delivery goes on
 * - `ERR_ENTITY`: the entity was refused; the events were stored
 * - `ERR_FORMAT`: the format function failed; its events are formatted as JSON
 * - `ERR_SPOOL`: the spool directory cannot be used; the logger goes on without it
 *
 * `cause` has name, message and status of the underlying error, and nothing of its request.
 *
 * @example
 * ```ts
 * new CloudwatchLogger("my-app", { onError: ({ code }) => metrics.increment(`logging.${code}`) });
 * ```
 */
export class CloudwatchLoggerError extends Error {
  override readonly name = "CloudwatchLoggerError";
  readonly code: string;

  constructor(code: string, message: string, cause?: Error) {
    super(message, cause && { cause });
    this.code = code;
  }
}

/** Tells `onError` and `onLoss`, neither of which can break the logger. */
class Reporter {
  /** Around callbacks, once the console is captured: what they print is no event. */
  scope: AsyncLocalStorage<true> | undefined;
  readonly #onError: (error: CloudwatchLoggerError) => unknown;
  readonly #onLoss: (loss: Loss) => unknown;
  /** Losses without content, until the timer, `flush`, `close` or the exit tells them. */
  readonly #gathered = new Map<DroppedReason, Loss>();
  #timer: NodeJS.Timeout | undefined;

  constructor({ onError, onLoss }: Settings) {
    const print = rateLimited((text) => writeStderr(`cwlogger: ${printable(text)}\n`));
    this.#onError = onError ?? ((error) => print(error.code, error.message));
    this.#onLoss = onLoss ?? ((loss) => printLoss(loss, print));
  }

  error(code: string, message: string, cause?: Error): void {
    this.#tell(this.#onError, new CloudwatchLoggerError(code, message, cause));
  }

  loss(reason: Loss["reason"], events: LogEvent[], cause?: Error): void {
    if (events.length === 0) return;
    const times = events.map(({ timestamp }) => timestamp).sort((a, b) => a - b);
    const [from = 0, to = from] = [times[0], times.at(-1)];
    this.#tell(this.#onLoss, { reason, count: events.length, events, from, to, ...(cause && { cause }) });
  }

  gather(reason: DroppedReason, count: number, timestamp: number): void {
    const loss = this.#gathered.get(reason);
    this.#gathered.set(reason, { reason, events: [], ...widen(loss, count, timestamp) });
    this.#timer ??= setTimeout(() => this.tellGathered(), REPORT_INTERVAL_MS).unref();
  }

  tellGathered(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const losses = [...this.#gathered.values()];
    this.#gathered.clear();
    for (const loss of losses) this.#tell(this.#onLoss, loss);
  }

  #tell<T>(callback: (value: T) => unknown, value: T): void {
    try {
      const result = this.scope === undefined ? callback(value) : this.scope.run(true, callback, value);
      Promise.resolve(result).catch(() => {});
    } catch {
      // Its own trouble; there is nobody left to tell.
    }
  }
}

/** Events of which only number and time are known. */
type Gap = Pick<Loss, "count" | "from" | "to">;

function widen(gap: Gap | undefined, count: number, timestamp: number): Gap {
  const { from, to } = gap ?? { from: timestamp, to: timestamp };
  return { count: (gap?.count ?? 0) + count, from: Math.min(from, timestamp), to: Math.max(to, timestamp) };
}

// ═══════════════════════════════════════════ 6 · CloudwatchLogger ═══════════════════════════════════════════

/**
 * Sends a program's logs to one log stream of Amazon CloudWatch Logs.
 *
 * - A log call costs less than two `JSON.stringify` of the event, and never waits for the network.
 * - Events go in batches: when one is full, `flushIntervalMs` after its first event, on `fatal`, `flush` and `close`.
 * - Nothing is lost silently: see {@link CloudwatchLogger.stats}, `onLoss` and `onError`.
 *
 * @example
 * ```ts
 * const logger = new CloudwatchLogger("my-app", { region: "eu-central-1", fields: { service: "checkout" } });
 * logger.warn("stock is low", { article: 4711, left: 3 });
 * await logger.close();
 * ```
 */
export class CloudwatchLogger {
  readonly #core: Core;
  readonly #parent: CloudwatchLogger | undefined;
  readonly #fields: Fields | undefined;
  /** Weight of the threshold; a child without one follows its parent. */
  #threshold: number | undefined;
  /** Fields of the `withFields` callbacks that are running. */
  #scope: AsyncLocalStorage<Fields | undefined> | undefined;

  /**
   * @param logGroupName 1 to 512 characters of `. _ - / # A-Z a-z 0-9`; or `null`: no CloudWatch, events are printed.
   * @throws {TypeError} `logGroupName` is undefined; an option is unknown, of the wrong type, or excluded by another.
   * @throws {RangeError} A name, number or word is none of those allowed.
   */
  constructor(logGroupName: string | null, options: CloudwatchLoggerOptions = {}) {
    if (options instanceof ChildOptions) {
      this.#core = options.core;
      this.#parent = options.parent;
      this.#fields = options.fields;
      this.#threshold = options.threshold;
    } else {
      this.#core = new Core(logGroupName, validate(logGroupName, options));
      this.#fields = mergeFields(options.fields);
      this.#threshold = LEVELS[options.level ?? DEFAULTS.level];
    }
  }

  /** The log stream in use; with `{date}`, that of the present day. */
  get logStreamName(): string {
    return this.#core.streams.at(Date.now()).name;
  }

  /** The threshold. @throws {RangeError} on setting what is no level. */
  get level(): Threshold {
    const threshold = this.#weight;
    return (Object.keys(LEVELS) as Threshold[]).find((level) => LEVELS[level] === threshold) as Threshold;
  }

  set level(level: Threshold) {
    check("level", level);
    this.#threshold = LEVELS[level];
  }

  /** Whether a call at `level` is logged; an unknown level counts as `info`. */
  isLevelEnabled(level: Level): boolean {
    return LEVELS[isLevel(level) ? level : "info"] >= this.#weight;
  }

  trace(message: unknown, fields?: object): void {
    if (this.#weight <= LEVELS.trace) this.#log("trace", message, fields);
  }

  debug(message: unknown, fields?: object): void {
    if (this.#weight <= LEVELS.debug) this.#log("debug", message, fields);
  }

  /**
   * Logs an event; so do `trace`, `debug`, `warn`, `error` and `fatal`, which also sends at once.
   *
   * @param message A string, an Error, an object (its properties become fields), or any other value.
   * @param fields More fields.
   * @throws {RangeError} with `code: "ERR_OVERSIZE"`: the event is over `maxEventBytes` and `overflow` is `"error"`.
   * @example
   * ```ts
   * logger.info("order placed", { orderId: 17 });
   * logger.error(new Error("card declined"), { orderId: 17 });
   * ```
   */
  info(message: unknown, fields?: object): void {
    if (this.#weight <= LEVELS.info) this.#log("info", message, fields);
  }

  warn(message: unknown, fields?: object): void {
    if (this.#weight <= LEVELS.warn) this.#log("warn", message, fields);
  }

  error(message: unknown, fields?: object): void {
    if (this.#weight <= LEVELS.error) this.#log("error", message, fields);
  }

  fatal(message: unknown, fields?: object): void {
    if (this.#weight <= LEVELS.fatal) this.#log("fatal", message, fields);
  }

  /** Logs at a level known at run time only; an unknown one counts as `info`. */
  log(level: Level, message: unknown, fields?: object): void {
    if (this.isLevelEnabled(level)) this.#log(isLevel(level) ? level : "info", message, fields);
  }

  /**
   * A logger with more fields and, if given, a threshold of its own; same queue, log stream and lifecycle.
   *
   * @example
   * ```ts
   * const log = logger.child({ requestId }, { level: "debug" });
   * ```
   */
  child(fields?: object, options?: { level?: Threshold | undefined }): CloudwatchLogger {
    const level: unknown = options && read(options, "level");
    const threshold = level === undefined ? undefined : LEVELS[isThreshold(level) ? level : "info"];
    return new CloudwatchLogger("", new ChildOptions(this.#core, this, mergeFields(this.#fields, fields), threshold));
  }

  /**
   * Runs a callback in which every event of this logger and its children has more fields: in what it awaits and starts,
   * too. Returns what the callback returns.
   *
   * @example
   * ```ts
   * app.use((request, _response, next) => logger.withFields({ requestId: request.id }, next));
   * ```
   */
  withFields<T>(fields: object, callback: () => T): T {
    this.#scope ??= new (builtin("node:async_hooks").AsyncLocalStorage)();
    return this.#scope.run(mergeFields(this.#scope.getStore(), fields), callback);
  }

  /**
   * Makes events of `console.debug`, `log`, `info`, `warn` and `error` as well; they still print. Returns the function
   * that undoes it.
   */
  captureConsole(): () => void {
    let isActive = true;
    this.#core.watchPrinting();
    const undo = CONSOLE_METHODS.map(([method, level]) => {
      const original = console[method];
      const captured = (...values: unknown[]) => {
        original.apply(console, values);
        if (isActive) this.#capture(level, values);
      };
      console[method] = captured;
      return () => {
        if (console[method] === captured) console[method] = original;
      };
    });
    return () => {
      // Whoever wrapped the console after this keeps calling it.
      isActive = false;
      for (const restore of undo) restore();
    };
  }

  /**
   * An object-mode Writable for pino, winston, bunyan, morgan or `source.pipe(…)`. Lines are sent as they are, records in
   * the format of this logger; the host decides about levels. `end()` waits for delivery and leaves the logger open. It
   * never emits `'error'`.
   *
   * @example
   * ```ts
   * const log = pino(logger.stream());
   * ```
   */
  stream(): Writable {
    return new Inlet(this.#core, () => this.#context(), false).stream;
  }

  /** Counts so far. `logged === delivered + rejected + dropped + pending`, at every moment. */
  stats(): Stats {
    return this.#core.queue.stats();
  }

  /**
   * Sends what is waiting. Resolves when everything logged before the call has an outcome, or after `timeoutMs` (without
   * one: however long it takes). Never rejects.
   */
  flush(timeoutMs?: number): Promise<Stats> {
    return this.#core.flush(timeoutMs);
  }

  /**
   * Flushes, then stops for good; what is left after `timeoutMs` (default: `closeTimeoutMs`) is reported as `unsent`, or
   * stays in the spool. A second call gives the same promise. Never rejects.
   */
  close(timeoutMs?: number): Promise<Stats> {
    return this.#core.close(timeoutMs);
  }

  /** `await using logger = new CloudwatchLogger(…)` closes it at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #weight(): number {
    let logger: CloudwatchLogger = this;
    while (logger.#threshold === undefined) logger = logger.#parent as CloudwatchLogger;
    return logger.#threshold;
  }

  #log(level: Level, message: unknown, fields: object | undefined): void {
    const core = this.#core;
    const caller = core.wantsCaller ? callerName(this.#log) : undefined;
    core.log("call", level, Date.now(), message, this.#context(), fields, caller);
  }

  #capture(level: Level, values: unknown[]): void {
    // What the logger or a callback of its options prints is no event.
    if (this.#core.isPrinting() || !this.isLevelEnabled(level)) return;
    const message =
      values.length === 1 ? values[0] : attempt(() => builtin("node:util").format(...values), "[unreadable]");
    this.#core.log("console", level, Date.now(), message, this.#context(), undefined, undefined);
  }

  /** The fields of this logger, then those of the callbacks it runs in, outer ones first. */
  #context(): Fields | undefined {
    let scoped: Fields | undefined;
    for (let logger: CloudwatchLogger | undefined = this; logger !== undefined; logger = logger.#parent) {
      if (logger.#scope !== undefined) scoped = mergeFields(logger.#scope.getStore(), scoped);
    }
    return scoped === undefined ? this.#fields : mergeFields(this.#fields, scoped);
  }
}

/** How `child` hands its own to the constructor. */
class ChildOptions {
  readonly core: Core;
  readonly parent: CloudwatchLogger;
  readonly fields: Fields | undefined;
  readonly threshold: number | undefined;

  constructor(core: Core, parent: CloudwatchLogger, fields: Fields | undefined, threshold: number | undefined) {
    this.core = core;
    this.parent = parent;
    this.fields = fields;
    this.threshold = threshold;
  }
}

const CONSOLE_METHODS = [
  ["debug", "debug"],
  ["log", "info"],
  ["info", "info"],
  ["warn", "warn"],
  ["error", "error"],
] as const;

/**
 * The stream of a logger of its own, which `end()` closes: a target of `pino.transport`. Options that pino adds are
 * ignored.
 *
 * @throws {TypeError | RangeError} as the constructor of {@link CloudwatchLogger} does.
 * @example
 * ```ts
 * const log = pino(pino.transport({ target: "cwlogger", options: { logGroupName: "my-app" } }));
 * ```
 */
export default function transport(options: { logGroupName: string | null } & CloudwatchLoggerOptions): Writable {
  const known = Object.entries(options).filter(([name]) => Object.hasOwn(RULES, name));
  const settings = validate(options.logGroupName, Object.fromEntries(known));
  // pino kills its worker after 10 s.
  settings.closeTimeoutMs = Math.min(settings.closeTimeoutMs, DEFAULTS.closeTimeoutMs);
  return new Inlet(new Core(options.logGroupName, settings), () => settings.fields, true).stream;
}

/** Where an event comes from. Only a `call` may throw; what came from the console is printed already. */
type Origin = "call" | "console" | "stream" | "notice";

/** What a logger and its children share: the way from a call to the queue. */
class Core {
  readonly streams: LogStreams;
  readonly queue: Queue;
  readonly wantsCaller: boolean;
  readonly signals: readonly NodeJS.Signals[];
  readonly maxLineLength: number;
  readonly #settings: Settings;
  readonly #reporter: Reporter;
  readonly #isPrinter: boolean;
  readonly #limits: WriterLimits;
  readonly #redaction: Redaction | undefined;
  /** `undefined` for JSON, which is written without a text in between. */
  readonly #format: ((event: FormatEvent, caller: string | undefined) => string) | undefined;
  /** One writer for each log call within a log call: getters and `toJSON` may log. */
  readonly #writers: EventWriter[] = [];
  #depth = 0;
  #hasFormatFailed = false;
  /** Waits for room, to tell of a gap. */
  #watch: Promise<void> | undefined;
  /** What was logged when the exit's last flush began. */
  #loggedAtExit = -1;
  #closing: Promise<Stats> | undefined;

  constructor(logGroupName: string | null, settings: Settings) {
    const { format, redact } = settings;
    this.#settings = settings;
    this.#isPrinter = logGroupName === null;
    // Only a split needs all of an event that is too large; otherwise its message is enough.
    const { overflow, maxQueueBytes, maxEventBytes } = settings;
    const walkBytes = overflow === "split" ? maxQueueBytes : Math.min(2 * maxEventBytes, maxQueueBytes);
    this.#limits = { stringBytes: maxQueueBytes, walkBytes };
    this.#reporter = new Reporter(settings);
    this.#redaction = redact?.length ? new Redaction(redact) : undefined;
    this.#format = compileFormat(format);
    this.wantsCaller = typeof format === "string" && format.includes("{caller}");
    this.signals = settings.closeOnSignals;
    this.maxLineLength = settings.maxQueueBytes;
    this.streams = new LogStreams(settings.logStreamName);
    this.queue = new Queue(logGroupName, settings, this.streams, this.#reporter);
    if (!this.#isPrinter) onProcessEnd(this);
  }

  /** From now on, it is known what callbacks of the options print. */
  watchPrinting(): void {
    this.#reporter.scope ??= new (builtin("node:async_hooks").AsyncLocalStorage)();
  }

  /** Whether what is printed now comes from a log call or a callback of the options. */
  isPrinting(): boolean {
    return this.#depth > 0 || this.#reporter.scope?.getStore() === true;
  }

  /** format → fit → queue. */
  log(
    origin: Origin,
    level: Level,
    timestamp: number,
    message: unknown,
    base: Fields | undefined,
    fields: object | undefined,
    caller: string | undefined,
  ): void {
    if (this.#refuses(origin, timestamp)) return;
    const depth = this.#depth;
    const writer = this.#writerAt(depth);
    this.#depth = depth + 1;
    try {
      if (depth < MAX_NESTED_CALLS) {
        this.#write(writer, readEvent(level, timestamp, message, base, fields, this.#redaction), caller);
      } else writer.text(timestamp, "[logged while being logged, left out]");
      this.#accept(origin, level, timestamp, writer);
    } finally {
      writer.release();
      this.#depth = depth;
    }
  }

  /** fit → queue, for a line that a host has formatted. */
  send(level: Level, timestamp: number, line: string): void {
    if (this.#refuses("stream", timestamp)) return;
    const depth = this.#depth;
    const writer = this.#writerAt(depth);
    this.#depth = depth + 1;
    try {
      writer.text(timestamp, this.#redaction?.line(line) ?? line);
      this.#accept("stream", level, timestamp, writer);
    } finally {
      writer.release();
      this.#depth = depth;
    }
  }

  #writerAt(depth: number): EventWriter {
    this.#writers[depth] ??= new EventWriter(this.#limits, this.#redaction);
    return this.#writers[depth];
  }

  #refuses(origin: Origin, timestamp: number): boolean {
    const { state } = this.queue;
    if (state === "open" || (state === "closing" && origin === "notice")) return false;
    if (origin !== "notice") this.queue.drop("closed", 1, timestamp);
    return true;
  }

  /** Writes the event in the format of this logger. Never throws. */
  #write(writer: EventWriter, draft: Draft, caller: string | undefined): void {
    const text = this.#format === undefined ? undefined : this.#formatted(draft, caller);
    if (text !== undefined) {
      writer.text(draft.timestamp, text);
      return;
    }
    try {
      writer.json(draft);
    } catch {
      // A getter or a trap among the fields: what can be read of them is kept.
      writer.json({ ...draft, fields: mergeFields(draft.fields) });
    }
  }

  /** The text of a format other than JSON; `undefined` where the format function fails. */
  #formatted(draft: Draft, caller: string | undefined): string | undefined {
    try {
      const { message = "", fields, error } = this.#redaction?.draft(draft) ?? draft;
      const { timestamp, level } = draft;
      const event: FormatEvent = { timestamp, level, message, fields: (fields && mergeFields(fields)) ?? {} };
      if (error !== undefined) event.error = error;
      const text: unknown = this.#format?.(event, caller);
      if (typeof text === "string") return text;
      if (types().isPromise(text)) text.catch(() => {});
      throw new TypeError(`it returned ${typeof text}`);
    } catch (failure) {
      if (!this.#hasFormatFailed)
        this.#reporter.error("ERR_FORMAT", `The format function failed: ${reasonOf(failure)}`);
      this.#hasFormatFailed = true;
      return undefined;
    }
  }

  #accept(origin: Origin, level: Level, timestamp: number, event: EventWriter): void {
    const { queue } = this;
    const { console: isPrinted, overflow, maxEventBytes } = this.#settings;
    if ((isPrinted || this.#isPrinter) && origin !== "console") print(level, event.message());
    const size = event.size();
    if (this.#isPrinter) {
      queue.countPrinted();
    } else if (size <= maxEventBytes) {
      if (queue.admit(1, size, level, timestamp)) queue.append(timestamp, event);
    } else if (overflow === "error") {
      queue.drop("oversize", 1, timestamp);
      if (origin === "call") {
        const text = `Log event too large: ${size} bytes exceeds "maxEventBytes" of ${maxEventBytes}`;
        throw Object.assign(new RangeError(text), { code: "ERR_OVERSIZE" });
      }
      this.#reporter.loss("oversize", [{ timestamp, message: event.message() }]);
    } else {
      const fit = overflow === "split" ? split : truncate;
      const parts = fit(event.message(), event.isJson, maxEventBytes - LIMITS.eventOverheadBytes);
      const bytes = sum(parts.map((part) => Buffer.byteLength(part) + LIMITS.eventOverheadBytes));
      if (queue.admit(parts.length, bytes, level, timestamp)) {
        const writer = new EventWriter(this.#limits);
        for (const part of parts) {
          writer.text(timestamp, part);
          queue.append(timestamp, writer);
        }
        writer.release();
      }
    }
    if (level === "fatal") queue.hurry();
    if (queue.gap !== undefined) this.#watch ??= queue.room(0).then(() => this.#tellGap());
  }

  /** One WARN event tells the log stream what it is missing. */
  #tellGap(): void {
    this.#watch = undefined;
    const { gap } = this.queue;
    if (gap === undefined) return;
    this.queue.gap = undefined;
    const from = new Date(gap.from).toISOString();
    const to = new Date(gap.to).toISOString();
    const message = `${gap.count} log events were dropped because the queue was full, from ${from} to ${to}`;
    const fields = { dropped: gap.count, reason: "queueFull", from, to };
    this.log("notice", "warn", Date.now(), message, undefined, fields, undefined);
  }

  async flush(timeoutMs?: number): Promise<Stats> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      if (timeoutMs !== undefined) timer = setTimeout(resolve, clampMs(timeoutMs));
    });
    const watch = this.#watch;
    await Promise.race([this.queue.drained(), late]);
    // The notice of a gap is covered: there is room for it now.
    if (watch !== undefined) await Promise.race([watch.then(() => this.queue.drained()), late]);
    clearTimeout(timer);
    this.#reporter.tellGathered();
    return this.queue.stats();
  }

  close(timeoutMs: number = this.#settings.closeTimeoutMs): Promise<Stats> {
    if (this.#closing !== undefined) return this.#closing;
    this.queue.state = "closing";
    this.#closing = this.flush(timeoutMs).then(() => {
      this.queue.close();
      offProcessEnd(this);
      return this.queue.stats();
    });
    return this.#closing;
  }

  /** The event loop is empty: a flush, unless nothing was logged since the last one here. */
  beforeExit(): void {
    const { pending, logged } = this.queue.stats();
    if (pending === 0 || logged === this.#loggedAtExit || this.queue.state !== "open") return;
    this.#loggedAtExit = logged;
    void this.flush(this.#settings.closeTimeoutMs);
  }

  /** The process ends in this tick: what is undelivered is printed, so that it does not disappear silently. */
  exit(): void {
    const events = this.queue.close();
    // Without an onLoss of the user's, the report has printed them.
    if (this.#settings.onLoss !== undefined) printEvents(events);
  }
}

// ═══════════════════════════════════════════════ 7 · Format ═════════════════════════════════════════════════

/** An event on its way to a format. */
interface Draft {
  timestamp: number;
  level: Level;
  message: string | undefined;
  fields: Fields | undefined;
  error?: unknown;
}

/** Whatever was logged, as message, fields and error. */
function readEvent(
  level: Level,
  timestamp: number,
  message: unknown,
  base: Fields | undefined,
  extra: object | undefined,
  redaction: Redaction | undefined,
): Draft {
  const draft: Draft = { timestamp, level, message: undefined, fields: base };
  let given: object | undefined = extra ?? undefined;
  if (given !== undefined && !isRecord(given)) {
    if (isError(given)) draft.error = given;
    given = draft.error === undefined ? { fields: given } : undefined;
  }
  if (typeof message === "string") {
    draft.message = message;
  } else if (isError(message)) {
    if (draft.error !== undefined) given = { error: draft.error };
    draft.error = message;
    draft.message = textOf(read(message, "message"), redaction);
  } else if (isRecord(message)) {
    const { message: own, ...rest } = mergeFields(message) ?? {};
    if (isError(own)) draft.error ??= own;
    if (own !== undefined) draft.message = textOf(isError(own) ? read(own, "message") : own, redaction);
    given = given === undefined ? rest : mergeFields(rest, given);
  } else {
    draft.message = textOf(message, redaction);
  }
  if (given !== undefined) draft.fields = base === undefined ? (given as Fields) : mergeFields(base, given);
  return draft;
}

function compileFormat(
  format: Settings["format"],
): ((event: FormatEvent, caller: string | undefined) => string) | undefined {
  if (format === "json") return undefined;
  if (typeof format === "function") return (event) => format(event);
  const template = format === "text" ? "{level} {message}" : format;
  // Odd places hold the names of the placeholders.
  const pieces = (template.includes("{message}") ? template : `${template}{message}`).split(/\{(\w+)\}/);
  const named = new Set(pieces.filter((_, index) => index % 2 === 1));
  return (event, caller) => {
    let text = "";
    for (let index = 0; index < pieces.length; index++) {
      const piece = pieces[index] as string;
      text += index % 2 === 0 ? piece : filled(piece, event, caller);
    }
    let rest: Fields | undefined;
    for (const name of Object.keys(event.fields)) {
      if (named.has(name) || event.fields[name] === undefined) continue;
      rest ??= Object.create(null) as Fields;
      rest[name] = event.fields[name];
    }
    return rest === undefined ? text : `${text} ${stringify(rest)}`;
  };
}

function filled(name: string, event: FormatEvent, caller = ""): string {
  if (name === "timestamp") return new Date(event.timestamp).toISOString();
  if (name === "level") return event.level.toUpperCase();
  if (name === "caller") return caller;
  if (name === "message") return messageWithError(event);
  return Object.hasOwn(event.fields, name) ? textOf(event.fields[name]) : "";
}

/** A message with its Error: the stack, then what that does not tell, such as causes and own fields. */
function messageWithError({ message, error }: FormatEvent): string {
  if (error === undefined) return message;
  const { name, message: own, stack, ...rest } = JSON.parse(stringify(error)) as Fields;
  const trace = typeof stack === "string" ? stack : `${name}: ${own}`;
  const text = trace.includes(message) ? trace : `${message} ${trace}`;
  return Object.keys(rest).length === 0 ? text : `${text} ${JSON.stringify(rest)}`;
}

/** Any value as the text of a message. Never throws. */
function textOf(value: unknown, redaction?: Redaction): string {
  if (typeof value === "string") return value;
  if (typeof value === "function") return attempt(() => `[Function: ${value.name}]`, "[Function]");
  if (typeof value !== "object" || value === null) return String(value);
  if (types().isUint8Array(value)) return attempt(() => Buffer.from(value).toString(), "[unreadable]");
  const json = stringify(value, redaction);
  return json.startsWith('"') ? attempt(() => JSON.parse(json) as string, json) : json;
}

/** The JSON of any value: that of JSON.stringify, but for the content that it would lose or throw at. */
function stringify(value: unknown, redaction?: Redaction): string {
  const writer = new EventWriter(undefined, redaction);
  try {
    writer.value(value);
    return writer.message();
  } finally {
    writer.release();
  }
}

/** What `redact` names. */
class Redaction {
  readonly #names: Set<string>;
  readonly #paths: string[][];

  constructor(redact: readonly string[]) {
    const paths = redact.map((path) => path.replace(/\[(\w+|\*)\]/g, ".$1").split("."));
    this.#names = new Set(paths.filter(({ length }) => length === 1).flat());
    this.#paths = paths.filter(({ length }) => length > 1);
  }

  hides(path: readonly string[]): boolean {
    const isHidden = (names: string[]) =>
      names.length === path.length && names.every((name, index) => name === "*" || name === path[index]);
    return this.#names.has(path.at(-1) as string) || this.#paths.some(isHidden);
  }

  /** A line that a host has formatted, where that is JSON: the same, unless it has something to hide. */
  line(line: string): string {
    const value = attempt(() => JSON.parse(line) as unknown, undefined);
    if (typeof value !== "object" || value === null) return line;
    const redacted = stringify(value, this);
    return redacted === stringify(value) ? line : redacted;
  }

  /** An event as formats other than JSON get it: copies without what is hidden. */
  draft({ message, fields, error }: Draft): Pick<Draft, "message" | "fields" | "error"> {
    const top = JSON.parse(stringify({ message, error }, this)) as Pick<Draft, "message" | "error">;
    return { ...top, fields: JSON.parse(stringify(fields ?? {}, this)) as Fields };
  }
}

const LINE_BREAK = 0x0a;
const QUOTE = 0x22;
const COMMA = 0x2c;
const POINT = 0x2e;
const ZERO = 0x30;
const COLON = 0x3a;
const OPENING_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

/**
 * Where events are written, whichever logger they are of. That it is a constant of one size, as are the tables, halves the
 * time that the escapes of a text take, for V8 then knows where it is. This is the reason for state outside of any object;
 * there is no other but names and modules to remember, and the list of open loggers.
 *
 *   0 … stagedFrom … from … at     up to `from`: events of the batch `staged`, which takes many at a time, for that takes
 *                                  a tenth of the time of a log call; up to `at`: the event that is being written
 */
const BYTES = Buffer.allocUnsafeSlow(65_536);
const VIEW = new DataView(BYTES.buffer);
const STAGE_BYTES = 16_384;
let stagedFrom = 0;
let from = 0;
let at = 0;
let staged: Batch | undefined;
/** How many bytes of the event are escapes that its size does not count. */
let escapes = 0;
/** Behind it there is less than SLACK_BYTES, or the walk is broken off. */
let softEnd = 0;
/** Whose event it is. */
let active: EventWriter | undefined;
/** What the events of this writer begin with, which those of a burst share: ASCII, which as a number is never NaN. */
const OPENING = new Float64Array(16);
let opened: EventWriter | undefined;

/** What may be written without asking for room: a name, a short value, the brackets that close what is open. */
const SLACK_BYTES = 1_024;
/** Longer texts are written piece by piece; a character becomes up to seven bytes. */
const PIECE_CHARACTERS = 4_096;
const PLAIN = Buffer.allocUnsafeSlow(3 * (PIECE_CHARACTERS + 1) + 8);
const PLAIN_VIEW = new DataView(PLAIN.buffer);
/** Shorter texts are quicker written by hand than with a call into the runtime. */
const LONG_CHARACTERS = 40;

/**
 * What each byte of a text becomes, in JSON and in JSON in JSON: eight bytes as a number, to be written in one go; and how
 * many of those are meant, plus 65,536 times how many of them the size of an event does not count.
 */
const WORDS = new Float64Array(512);
const STEPS = new Int32Array(512);
const IN_JSON = 0;
const IN_JSON_IN_JSON = 256;
for (let index = 0; index < 512; index++) {
  // A number whose first byte is this one, and seven zeros.
  WORDS[index] = (index % 256) * Number.MIN_VALUE;
  STEPS[index] = 1;
}
for (const code of [...Array(32).keys(), QUOTE, BACKSLASH]) {
  const once = escapeOf(String.fromCharCode(code));
  setEscape(IN_JSON + code, once, 1);
  setEscape(IN_JSON_IN_JSON + code, escapeOf(once), once.length);
}

function escapeOf(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

function setEscape(index: number, text: string, countedBytes: number): void {
  VIEW.setFloat64(0, 0);
  for (let byte = 0; byte < text.length; byte++) BYTES[byte] = text.charCodeAt(byte);
  WORDS[index] = VIEW.getFloat64(0, true);
  STEPS[index] = text.length + 65_536 * (text.length - countedBytes);
}

/** Writes what so many bytes of PLAIN become. */
function writePlain(length: number, table: number): void {
  // What is behind the text is read as well.
  PLAIN_VIEW.setInt32(length, SPACES);
  PLAIN_VIEW.setInt32(length + 4, SPACES);
  const start = at;
  for (let index = 0; index < length; index += 8) {
    const first = PLAIN_VIEW.getInt32(index);
    const second = PLAIN_VIEW.getInt32(index + 4);
    if ((escapable(first) | escapable(second)) !== 0) {
      at = start + index;
      writeEscaped(index, length, table);
      return;
    }
    VIEW.setInt32(start + index, first);
    VIEW.setInt32(start + index + 4, second);
  }
  at = start + length;
}

/** Writes what bytes of PLAIN become. Without branches, of which those on quotes would cost as much again. */
function writeEscaped(from: number, to: number, table: number): void {
  const first = at;
  let steps = 0;
  for (let index = from; index < to; index++) {
    const byte = table + (PLAIN[index] as number);
    VIEW.setFloat64(first + (steps & 65_535), WORDS[byte] as number, true);
    steps += STEPS[byte] as number;
  }
  at = first + (steps & 65_535);
  escapes += steps >> 16;
}

/** Not 0 where a quote, a backslash or a control character is among four bytes: a subtraction sets its highest bit. */
function escapable(word: number): number {
  const quote = (word ^ 0x22222222) - 0x01010101;
  const backslash = (word ^ 0x5c5c5c5c) - 0x01010101;
  return ((word - SPACES) | quote | backslash) & ~word & 0x80808080;
}

const SPACES = 0x20202020;

/** Writes a short text between escaped quotes; false where there is something to escape in it. */
function writeShort(text: string): boolean {
  const { length } = text;
  let end = at;
  BYTES[end++] = BACKSLASH;
  BYTES[end++] = QUOTE;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 127 || STEPS[code] !== 1) return false;
    BYTES[end++] = code;
  }
  BYTES[end++] = BACKSLASH;
  BYTES[end++] = QUOTE;
  at = end;
  return true;
}

function writeAscii(text: string): void {
  const first = at;
  for (let index = 0; index < text.length; index++) BYTES[first + index] = text.charCodeAt(index);
  at = first + text.length;
}

/** As String does. Most numbers are whole or have few decimals: those are written in a third of the time. */
function writeNumber(value: number): void {
  if (value >= 0 && value === (value | 0)) {
    writeDigits(value);
    return;
  }
  const thousandths = value * 1_000;
  if (thousandths > 0 && thousandths === (thousandths | 0) && thousandths / 1_000 === value) {
    const whole = (thousandths / 1_000) | 0;
    writeDigits(whole);
    BYTES[at++] = POINT;
    let rest = thousandths - 1_000 * whole;
    for (let unit = 100; rest > 0; unit = (unit / 10) | 0) {
      const digit = (rest / unit) | 0;
      BYTES[at++] = ZERO + digit;
      rest -= digit * unit;
    }
    return;
  }
  writeAscii(String(value));
}

/** A whole number of up to 31 bits. */
function writeDigits(value: number): void {
  let end = at + 1;
  for (let rest = value; rest >= 10; rest = (rest / 10) | 0) end++;
  at = end;
  let rest = value;
  do {
    const tenth = (rest / 10) | 0;
    BYTES[--end] = ZERO + rest - 10 * tenth;
    rest = tenth;
  } while (rest > 0);
}

/** Hands staged events over to their batch. */
function settle(): void {
  const events = BYTES.subarray(stagedFrom, from);
  stagedFrom = from;
  staged?.take(events);
  staged = undefined;
}

/** Every write of text leaves room behind for what single bytes may follow. */
function writeByte(byte: number): void {
  BYTES[at++] = byte;
}

/** Where a writer breaks off: for strings, and for the objects around them, of which hostile values have no end. */
interface WriterLimits {
  stringBytes: number;
  walkBytes: number;
}

const DEFAULT_LIMITS: WriterLimits = { stringBytes: DEFAULTS.maxQueueBytes, walkBytes: 4 * LIMITS.maxBatchBytes };

/** Thrown within {@link EventWriter} where an event grows beyond everything that could be sent. */
const TOO_LARGE = new RangeError("larger than the queue");

/**
 * Writes one event at a time as PutLogEvents wants it, `{"timestamp":…,"message":"…"}`, into bytes that are used again.
 *
 * A JSON event is a JSON string inside of JSON, its quotes and backslashes escaped twice. One walk over the value does
 * that, counts the size and survives whatever the value holds, for little more than one JSON.stringify.
 */
class EventWriter {
  /** Whom it has interrupted: what is logged may log itself while it is read. */
  interrupted: EventWriter | undefined;
  escapesThen = 0;
  /** The bytes of the event that had to leave BYTES, and how many those are. */
  spilled: Buffer[] = [];
  spilledBytes = 0;
  /** Where the message begins. */
  start = 0;
  /** What the bytes up to `opening` say. */
  opening = 0;
  timestamp = Number.NaN;
  level: Level | undefined;
  /** The objects around the value that is being written, to find cycles; only the first `depth` count. */
  readonly ancestors: object[] = [];
  depth = 0;
  readonly limits: WriterLimits;
  /** Where the walk is broken off; the message of a JSON event does not count against it. */
  walkEnd = 0;
  readonly redaction: Redaction | undefined;
  /** The names from the top of the event to the value that is being written; kept for redaction alone. */
  readonly path: string[] = [];

  constructor(limits = DEFAULT_LIMITS, redaction?: Redaction) {
    this.limits = limits;
    this.redaction = redaction;
  }

  /** Whether the message is a JSON event. */
  get isJson(): boolean {
    return this.level !== undefined;
  }

  /** The size as the service counts it. */
  size(): number {
    return this.length() - this.start - 2 - escapes + LIMITS.eventOverheadBytes;
  }

  /** The event, with a byte behind it; only good until something else is written. */
  bytes(last: number): Buffer {
    BYTES[at] = last;
    const bytes = BYTES.subarray(from, at + 1);
    return this.spilled.length === 0 ? bytes : Buffer.concat([...this.spilled, bytes]);
  }

  /** Hands the event over to a batch, a comma behind it; returns its length. */
  moveTo(batch: Batch): number {
    const length = this.length() + 1;
    if (staged !== batch || this.spilledBytes > 0) settle();
    if (this.spilledBytes > 0) batch.take(this.bytes(COMMA));
    else {
      writeByte(COMMA);
      from = at;
      staged = batch;
    }
    return length;
  }

  /** The message, read back. */
  message(): string {
    return JSON.parse(this.bytes(LINE_BREAK).toString("utf8", this.start - 1, this.length() - 1)) as string;
  }

  /** The event is done with. */
  release(): void {
    if (active !== this) return;
    active = this.interrupted;
    this.interrupted = undefined;
    if (active !== undefined) active.resume();
  }

  text(timestamp: number, text: string): void {
    this.begin(timestamp);
    try {
      // The service refuses an empty message.
      writeText(this, text === "" ? " " : text, IN_JSON);
    } catch (error) {
      this.breakOff(error);
    }
    this.end();
  }

  json({ timestamp, level, message, fields, error }: Draft): void {
    this.begin(timestamp, level);
    try {
      if (message !== undefined) writeMember(this, "message", message, false);
      this.walk();
      if (fields !== undefined) writeMembers(this, fields, true);
      if (error !== undefined) writeMember(this, "error", error, false);
      writeByte(CLOSING_BRACE);
    } catch (failure) {
      this.breakOff(failure);
    }
    this.end();
  }

  /** The JSON of any value, as a message. */
  value(value: unknown): void {
    this.begin(0);
    try {
      if (!writeValue(this, value, "")) writeAscii("null");
    } catch (error) {
      this.breakOff(error);
    }
    this.end();
  }

  /** What comes before the message, and the level of a JSON event: as a rule, what is there already. */
  begin(timestamp: number, level?: Level): void {
    if (active !== this) {
      if (active !== undefined) active.suspend();
      this.interrupted = active;
      active = this;
    }
    if (this.spilledBytes > 0) this.spilled = [];
    this.spilledBytes = 0;
    if (from > STAGE_BYTES) settle();
    if (stagedFrom === from) stagedFrom = from = 0;
    at = from;
    if (opened !== this || timestamp !== this.timestamp || level !== this.level) {
      writeAscii(`{"timestamp":${timestamp},"message":"`);
      this.start = at - from;
      if (level !== undefined) writeAscii(`{\\"level\\":\\"${level.toUpperCase()}\\"`);
      this.opening = at - from;
      for (let word = 0; 8 * word < this.opening; word++) OPENING[word] = VIEW.getFloat64(from + 8 * word, true);
      this.timestamp = timestamp;
      this.level = level;
      opened = this;
    } else {
      const { opening } = this;
      for (let word = 0; 8 * word < opening; word++) VIEW.setFloat64(at + 8 * word, OPENING[word] as number, true);
      at += opening;
    }
    escapes = level === undefined ? 0 : 4;
    this.walk();
    this.depth = 0;
    if (this.redaction !== undefined) this.path.length = 0;
  }

  end(): void {
    writeByte(QUOTE);
    writeByte(CLOSING_BRACE);
  }

  /** From here on, the walk has so far to go. */
  walk(): void {
    this.walkEnd = this.length() + this.limits.walkBytes;
    this.setSoftEnd();
  }

  length(): number {
    return this.spilledBytes + at - from;
  }

  setSoftEnd(): void {
    softEnd = Math.min(BYTES.length - SLACK_BYTES, from + this.walkEnd - this.spilledBytes);
  }

  makeRoom(): void {
    if (this.length() > this.walkEnd) throw TOO_LARGE;
    this.spill();
  }

  spill(): void {
    this.spilled.push(Buffer.from(BYTES.subarray(from, at)));
    this.spilledBytes += at - from;
    at = from;
    this.setSoftEnd();
  }

  suspend(): void {
    this.escapesThen = escapes;
    this.spill();
  }

  resume(): void {
    at = from;
    escapes = this.escapesThen;
    this.setSoftEnd();
  }

  /** Takes back what was written since. */
  rewind(length: number, escapesThen: number): void {
    escapes = escapesThen;
    if (length < this.spilledBytes) {
      this.spilled = [Buffer.concat(this.spilled).subarray(0, length)];
      this.spilledBytes = length;
      this.setSoftEnd();
    }
    at = from + length - this.spilledBytes;
  }

  /** What is too large for the queue needs no end: it will be found too large. Everything else is an error. */
  breakOff(error: unknown): void {
    if (error !== TOO_LARGE) throw error;
  }
}

/** False where JSON has no such value: `undefined`. */
function writeValue(writer: EventWriter, value: unknown, key: string | number): boolean {
  switch (typeof value) {
    case "string":
      writeQuoted(writer, value);
      return true;
    case "number":
      if (Number.isFinite(value)) writeNumber(value);
      else writeQuoted(writer, String(value));
      return true;
    case "boolean":
      writeAscii(value ? "true" : "false");
      return true;
    case "undefined":
      return false;
    case "object":
      if (value !== null) return writeObject(writer, value, key);
      writeAscii("null");
      return true;
    default:
      writeQuoted(writer, textOf(value));
      return true;
  }
}

function writeObject(writer: EventWriter, value: object, key: string | number): boolean {
  const length = writer.length();
  const depth = writer.depth;
  const escapesThen = escapes;
  const level = writer.redaction === undefined ? 0 : writer.path.length;
  let isWritten = true;
  if (depth > MAX_DEPTH || isInside(writer, value)) {
    writeQuoted(writer, depth > MAX_DEPTH ? "[nested too deep]" : "[circular]");
    return true;
  }
  writer.ancestors[depth] = value;
  writer.depth = depth + 1;
  try {
    isWritten = writeContainer(writer, value, key);
  } catch (error) {
    if (error === TOO_LARGE) throw error;
    // A getter, a trap or a toJSON that throws: what can be read of the value is kept, its neighbours anyway.
    writer.rewind(length, escapesThen);
    writer.path.length = level;
    const readable = isRecord(value) && !("toJSON" in value) ? mergeFields(value) : undefined;
    if (readable === undefined) writeQuoted(writer, `[unreadable: ${reasonOf(error)}]`);
    else writeBraces(writer, readable);
  }
  writer.depth = depth;
  return isWritten;
}

function isInside(writer: EventWriter, value: object): boolean {
  for (let index = writer.depth - 1; index >= 0; index--) if (writer.ancestors[index] === value) return true;
  return false;
}

function writeContainer(writer: EventWriter, value: object, key: string | number): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  const isPlain = prototype === Object.prototype || prototype === null;
  if (!isPlain && isError(value)) return writeError(writer, value);
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON !== "function") {
    if (isPlain) writeBraces(writer, value);
    else writeContents(writer, value);
    return true;
  }
  const json: unknown = toJSON.call(value, String(key));
  if (typeof json !== "object" || json === null) {
    // JSON has no word for an invalid date.
    return writeValue(writer, json === null && types().isDate(value) ? String(value) : json, key);
  }
  if (json !== value && isInside(writer, json)) return writeValue(writer, "[circular]", key);
  writer.ancestors[writer.depth++] = json;
  writeContents(writer, json);
  return true;
}

function writeContents(writer: EventWriter, value: object): void {
  if (Array.isArray(value)) writeArray(writer, value);
  else if (types().isSet(value)) writeArray(writer, [...Set.prototype.values.call(value)]);
  else if (types().isMap(value)) {
    const entries = [...Map.prototype.entries.call(value)];
    if (entries.every(([name]) => typeof name === "string")) writeBraces(writer, Object.fromEntries(entries));
    else writeArray(writer, entries);
  } else if (types().isBoxedPrimitive(value)) writeValue(writer, (value as { valueOf(): unknown }).valueOf(), "");
  else if (types().isRegExp(value)) writeQuoted(writer, String(value));
  else writeBraces(writer, value);
}

/** An Error, little of whose content is enumerable. */
function writeError(writer: EventWriter, error: Error): boolean {
  writeByte(OPENING_BRACE);
  let isFirst = true;
  for (const name of new Set(["name", "message", "stack", "cause", "errors", ...Object.keys(error)])) {
    if (name in error && writeMember(writer, name, read(error, name), isFirst)) isFirst = false;
  }
  writeByte(CLOSING_BRACE);
  return true;
}

function writeArray(writer: EventWriter, items: unknown[]): void {
  writeByte(OPENING_BRACKET);
  for (let index = 0; index < items.length; index++) {
    if (index > 0) writeByte(COMMA);
    if (!writeItem(writer, items[index], index)) writeAscii("null");
  }
  writeByte(CLOSING_BRACKET);
}

function writeBraces(writer: EventWriter, value: object): void {
  writeByte(OPENING_BRACE);
  writeMembers(writer, value as Fields, false);
  writeByte(CLOSING_BRACE);
}

const hasOwn = Object.prototype.hasOwnProperty;

/** `isTop`: the fields of a JSON event, behind its level. */
function writeMembers(writer: EventWriter, fields: Fields, isTop: boolean): void {
  let isFirst = !isTop;
  // For-in with this check takes a third of the time of Object.keys, or of Object.hasOwn: V8 knows the pattern.
  for (const name in fields) {
    if (!hasOwn.call(fields, name)) continue;
    const value = fields[name];
    if (value === undefined) continue;
    const key = isTop && isReserved(name) ? freeName(name, fields) : name;
    if (writeMember(writer, name, value, isFirst, key)) isFirst = false;
  }
}

function writeMember(writer: EventWriter, name: string, value: unknown, isFirst: boolean, key = name): boolean {
  const length = writer.length();
  const escapesThen = escapes;
  if (!isFirst) writeByte(COMMA);
  writeName(writer, key);
  if (writeItem(writer, value, name)) return true;
  writer.rewind(length, escapesThen);
  return false;
}

/** A name and its colon. Names come again, and in the same order: to copy one takes a quarter of the time of writing it. */
function writeName(writer: EventWriter, name: string): void {
  let place = FOLLOWING[lastPlace] as number;
  if (NAMES[place] !== name) {
    place = (33 * name.length + name.charCodeAt(0) + 5 * name.charCodeAt(name.length >> 1)) & 255;
    FOLLOWING[lastPlace] = place;
  }
  lastPlace = place;
  if (NAMES[place] !== name) {
    learnName(writer, name, place);
    return;
  }
  const word = 4 * place;
  VIEW.setFloat64(at, NAME_WORDS[word] as number);
  VIEW.setFloat64(at + 8, NAME_WORDS[word + 1] as number);
  VIEW.setFloat64(at + 16, NAME_WORDS[word + 2] as number);
  VIEW.setFloat64(at + 24, NAME_WORDS[word + 3] as number);
  at += name.length + 5;
  escapes += 2;
}

function learnName(writer: EventWriter, name: string, place: number): void {
  const start = at;
  writeQuoted(writer, name);
  writeByte(COLON);
  // Only names of up to 27 characters that need no escapes, in which 32 bytes are enough.
  if (at - start !== name.length + 5 || name.length > 27) return;
  NAMES[place] = name;
  for (let word = 0; word < 4; word++) NAME_WORDS[4 * place + word] = VIEW.getFloat64(start + 8 * word);
}

/** By place: names, what they become, and the place of the name that came next the last time. */
const NAMES: (string | undefined)[] = Array.from({ length: 256 }, () => undefined);
const NAME_WORDS = new Float64Array(1_024);
const FOLLOWING = new Int32Array(256);
let lastPlace = 0;

/** The value of a name or an index, unless it is to be hidden. */
function writeItem(writer: EventWriter, value: unknown, name: string | number): boolean {
  if (at > softEnd) writer.makeRoom();
  if (writer.redaction === undefined) return writeValue(writer, value, name);
  writer.path.push(String(name));
  const isHidden = value !== undefined && writer.redaction.hides(writer.path);
  const isWritten = writeValue(writer, isHidden ? "[redacted]" : value, name);
  writer.path.pop();
  return isWritten;
}

function writeQuoted(writer: EventWriter, text: string): void {
  escapes += 2;
  if (text.length <= LONG_CHARACTERS && writeShort(text)) return;
  writeByte(BACKSLASH);
  writeByte(QUOTE);
  writeText(writer, text, IN_JSON_IN_JSON);
  writeByte(BACKSLASH);
  writeByte(QUOTE);
}

/** UTF-8 with escapes. A lone surrogate becomes U+FFFD. */
function writeText(writer: EventWriter, text: string, table: number): void {
  // No piece ends inside of a surrogate pair.
  for (let index = 0; index < text.length; ) {
    if (writer.length() - escapes > writer.limits.stringBytes) throw TOO_LARGE;
    let end = Math.min(text.length, index + PIECE_CHARACTERS);
    if (end < text.length && (text.charCodeAt(end) & 0xfc00) === 0xdc00) end++;
    const piece = index === 0 && end === text.length ? text : text.slice(index, end);
    if (at + 8 * piece.length > BYTES.length - SLACK_BYTES) writer.spill();
    writePlain(PLAIN.write(piece), table);
    index = end;
  }
}

/** The names that JSON events use themselves; a field of that name is kept with an underscore behind. */
function isReserved(name: string): boolean {
  return name === "level" || name === "message" || name === "error" || name === "part" || name === "truncatedBytes";
}

function freeName(name: string, fields: Fields): string {
  const free = `${name}_`;
  return Object.hasOwn(fields, free) ? freeName(free, fields) : free;
}

// ════════════════════════════════════════════════ 8 · Size ══════════════════════════════════════════════════

/** One text of at most `limitBytes` UTF-8 bytes; a JSON event stays JSON and gains `truncatedBytes`. */
function truncate(text: string, isJson: boolean, limitBytes: number): string[] {
  const event = isJson ? parseEvent(text) : undefined;
  if (event !== undefined) {
    const truncatedBytes = Buffer.byteLength(event.message);
    const room = limitBytes - Buffer.byteLength(JSON.stringify({ ...event, message: "", truncatedBytes }));
    if (room >= 0) {
      const message = event.message.slice(0, cutAt(event.message, 0, room, true));
      return [JSON.stringify({ ...event, message, truncatedBytes: truncatedBytes - Buffer.byteLength(message) })];
    }
  }
  return [text.slice(0, cutAt(text, 0, limitBytes, false))];
}

/** Texts of at most `limitBytes` UTF-8 bytes; of a JSON event, each is JSON with a piece of its message. */
function split(text: string, isJson: boolean, limitBytes: number): string[] {
  const event = isJson ? parseEvent(text) : undefined;
  if (event !== undefined) {
    const id = randomDigits(8);
    const longest = JSON.stringify({ ...event, message: "", part: { id, index: text.length, count: text.length } });
    const room = limitBytes - Buffer.byteLength(longest);
    if (room >= MAX_ESCAPED_BYTES) {
      const pieces = cut(event.message, room, true);
      const count = pieces.length;
      return pieces.map((message, index) => JSON.stringify({ ...event, message, part: { id, index, count } }));
    }
  }
  return cut(text, limitBytes, false);
}

/** A JSON event that has a message; `undefined` where it has none, or was broken off. */
function parseEvent(text: string): (Fields & { message: string }) | undefined {
  const event = attempt(() => JSON.parse(text) as Fields & { message: string }, undefined);
  return typeof event?.message === "string" ? event : undefined;
}

function cut(text: string, limitBytes: number, inJson: boolean): string[] {
  const pieces: string[] = [];
  for (let from = 0; from < text.length; ) {
    const to = cutAt(text, from, limitBytes, inJson);
    pieces.push(text.slice(from, to));
    from = to;
  }
  return pieces;
}

/** A control character in JSON, `\u0000`: the most bytes that a code point takes. */
const MAX_ESCAPED_BYTES = 6;

/** Where the piece from `from` on ends that takes at most `limitBytes`, as it is or inside of a JSON string. */
function cutAt(text: string, from: number, limitBytes: number, inJson: boolean): number {
  let bytes = 0;
  for (let index = from; index < text.length; ) {
    const point = text.codePointAt(index) as number;
    if (point < 0x80) bytes += inJson ? (STEPS[IN_JSON + point] as number) & 65_535 : 1;
    else bytes += point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    if (bytes > limitBytes) return index;
    index += point < 0x10000 ? 1 : 2;
  }
  return text.length;
}

// ═══════════════════════════════════════════ 9 · Queue and batch ════════════════════════════════════════════

/** A log stream that is written to. */
interface LogStream {
  name: string;
  /** To be created before the first put, under another name if this one is taken. */
  isFresh: boolean;
}

/** The log stream of each event: always the same, but for `{date}`. */
class LogStreams {
  readonly #given: string;
  readonly #madeAt = Date.now();
  readonly #hasDate: boolean;
  readonly #byName = new Map<string, LogStream>();
  /** The default is filled in later: to format a date for the first time takes as long as the rest of a constructor. */
  #template: string | undefined;
  /** The last answer, and the day it holds for. */
  #current: LogStream | undefined;
  #day = 0;

  constructor(template: string) {
    this.#given = template;
    if (template !== DEFAULTS.logStreamName) this.#template = fillName(template, this.#madeAt);
    this.#hasDate = template.includes("{date}");
  }

  at(timestamp: number): LogStream {
    const day = this.#hasDate ? Math.floor(timestamp / 86_400_000) : 0;
    if (this.#current === undefined || day !== this.#day) {
      this.#template ??= fillName(this.#given, this.#madeAt);
      const date = new Date(day * 86_400_000).toISOString().slice(0, 10);
      this.#current = this.named(this.#template.replaceAll("{date}", date));
      this.#day = day;
    }
    return this.#current;
  }

  named(name: string): LogStream {
    if (this.#current?.name === name) return this.#current;
    const isFresh = name === this.#template && this.#given === DEFAULTS.logStreamName;
    const stream = this.#byName.get(name) ?? { name, isFresh };
    this.#byName.set(name, stream);
    return stream;
  }
}

/** Room before the events of a batch, for what comes before them in the body of a request. */
const HEAD_BYTES = 1_024;

/** Events of one PutLogEvents: the elements of its `logEvents` as JSON, a comma behind each. */
class Batch {
  /** Number of its first event, of all that were accepted. */
  readonly id: number;
  readonly stream: LogStream;
  #bytes: Buffer;
  /** Where they end; the rest of its events is staged. */
  #end = HEAD_BYTES;
  length = 0;
  events = 0;
  /** As the service counts it. */
  size = 0;
  first = Number.POSITIVE_INFINITY;
  last = Number.NEGATIVE_INFINITY;
  /** Ended by a limit: it need not wait for those in flight. */
  isFull = false;
  /** Where the spool has the same events. */
  file: SpoolFile | undefined;
  /** Timestamps ascend; only a clock set back, or a host with times of its own, breaks this. */
  #isSorted = true;
  /** What there was before the events of the newest millisecond. */
  #before = { length: 0, events: 0, size: 0, last: 0 };

  constructor(id: number, stream: LogStream, bytes: Buffer = Buffer.allocUnsafeSlow(16_384)) {
    this.id = id;
    this.stream = stream;
    this.#bytes = bytes;
  }

  static of(id: number, stream: LogStream, events: LogEvent[]): Batch {
    const batch = new Batch(id, stream);
    const writer = new EventWriter();
    for (const { timestamp, message } of events) {
      writer.text(timestamp, message);
      batch.append(timestamp, writer);
    }
    writer.release();
    return batch;
  }

  append(timestamp: number, event: EventWriter): void {
    const { length, events, size, last } = this;
    this.size = size + event.size();
    this.length = length + event.moveTo(this);
    this.events = events + 1;
    if (timestamp !== last) this.#before = { length, events, size, last };
    if (timestamp < last) this.#isSorted = false;
    this.first = Math.min(this.first, timestamp);
    this.last = Math.max(last, timestamp);
  }

  /** All its memory. */
  get bytes(): Buffer {
    if (staged === this) settle();
    return this.#bytes;
  }

  /** The events from the byte `first` on. */
  #events(first = 0): Buffer {
    return this.bytes.subarray(HEAD_BYTES + first, HEAD_BYTES + this.length);
  }

  take(bytes: Buffer): void {
    const end = this.#end + bytes.length;
    if (end > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(2 * end);
      grown.set(this.#bytes.subarray(0, this.#end));
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.#end);
    this.#end = end;
  }

  /** The body of a request, made around the events: a copy of them would cost as much as signing them. */
  between(head: Buffer, tail: Buffer): Buffer {
    const events = this.#events();
    const first = HEAD_BYTES - head.length;
    // No comma behind the last one.
    const to = HEAD_BYTES + events.length - 1;
    if (first < 0 || to + tail.length > this.#bytes.length) return Buffer.concat([head, events.subarray(0, -1), tail]);
    this.#bytes.set(head, first);
    this.#bytes.set(tail, to);
    return this.#bytes.subarray(first, to + tail.length);
  }

  /** How long it would span with an event of `timestamp`, ms. */
  spanWith(timestamp: number): number {
    return Math.max(this.last, timestamp) - Math.min(this.first, timestamp);
  }

  /** Moves the events of the newest millisecond into a batch of their own; `undefined` where there are no others. */
  cutTail(bytes: Buffer | undefined): Batch | undefined {
    const before = this.#before;
    if (!this.#isSorted || before.events === 0) return undefined;
    const tail = new Batch(this.id + before.events, this.stream, bytes);
    tail.take(this.#events(before.length));
    tail.length = this.length - before.length;
    tail.events = this.events - before.events;
    tail.size = this.size - before.size;
    tail.first = this.last;
    tail.last = this.last;
    Object.assign(this, before);
    return tail;
  }

  /** The events, read back. */
  list(): LogEvent[] {
    return JSON.parse(`[${this.#events().toString("utf8", 0, this.length - 1)}]`) as LogEvent[];
  }

  /** By time; events of one millisecond in the order they came. */
  chronological(): Batch {
    if (this.#isSorted) return this;
    const events = this.list().sort((a, b) => a.timestamp - b.timestamp);
    const { isFull, file } = this;
    return Object.assign(Batch.of(this.id, this.stream, events), { isFull, file });
  }

  halves(): [Batch, Batch] {
    const events = this.list();
    const middle = events.length >> 1;
    const head = Batch.of(this.id, this.stream, events.slice(0, middle));
    head.file = this.file;
    return [head, Batch.of(this.id + middle, this.stream, events.slice(middle))];
  }

  /** Whether order could suffer with both in flight: CloudWatch Logs orders by timestamp, then by arrival. */
  overlaps(other: Batch): boolean {
    return this.stream === other.stream && this.first <= other.last && other.first <= this.last;
  }
}

/** Accepted events, and what became of them. */
class Queue {
  /** What was dropped because the queue was full, until a notice in the log stream tells of it. */
  gap: Gap | undefined;
  state: "open" | "closing" | "closed" = "open";
  readonly #settings: Settings;
  readonly #streams: LogStreams;
  readonly #reporter: Reporter;
  readonly #sender: Sender;
  readonly #spool: Spool | undefined;
  /** Takes over what dead processes have left. */
  readonly #recovery: Promise<void> = Promise.resolve();
  #isRecovering = false;
  #recoveryTimer: NodeJS.Timeout | undefined;
  /** The batch that takes events, those that take no more, and those of which a request is under way. */
  #open: Batch | undefined;
  #sealed: Batch[] = [];
  readonly #inFlight = new Set<Batch>();
  /** Bytes of batches that are done, to be used again: new memory costs more than what is written into it. */
  readonly #spare: Buffer[] = [];
  /** Events accepted so far, and how many of those go without their batch being full. */
  #accepted = 0;
  #due = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Size of all batches. */
  #bytes = 0;
  #logged = 0;
  #delivered = 0;
  readonly #rejected: Stats["rejectedReasons"] = { tooOld: 0, tooNew: 0, expired: 0, invalid: 0 };
  readonly #dropped: Stats["droppedReasons"] = { oversize: 0, queueFull: 0, closed: 0, unsent: 0 };
  #draining: { upTo: number; done: () => void }[] = [];
  #waiting: { bytes: number; done: () => void }[] = [];

  constructor(logGroupName: string | null, settings: Settings, streams: LogStreams, reporter: Reporter) {
    const { spoolDirectory } = settings;
    this.#settings = settings;
    this.#streams = streams;
    this.#reporter = reporter;
    this.#sender = new Sender(logGroupName ?? "", settings, reporter);
    if (spoolDirectory !== undefined && logGroupName !== null) {
      const spool = new Spool(spoolDirectory, logGroupName, reporter);
      this.#spool = spool;
      this.#isRecovering = true;
      this.#recovery = this.#recovery.then(() => this.#recover(spool));
    }
  }

  stats(): Stats {
    const { requests, retries } = this.#sender;
    return {
      logged: this.#logged,
      delivered: this.#delivered,
      rejected: sum(Object.values(this.#rejected)),
      dropped: sum(Object.values(this.#dropped)),
      pending: sum(this.#batches().map(({ events }) => events)),
      requests,
      retries,
      rejectedReasons: { ...this.#rejected },
      droppedReasons: { ...this.#dropped },
    };
  }

  /** Whether there is room for so many bytes of events; where not, those are dropped. */
  admit(count: number, bytes: number, level: Level, timestamp: number): boolean {
    const share = LEVELS[level] >= LEVELS.warn ? 1 : QUEUE_HEADROOM;
    if (this.#bytes + bytes <= share * this.#settings.maxQueueBytes) return true;
    this.drop("queueFull", count, timestamp);
    this.gap = widen(this.gap, count, timestamp);
    return false;
  }

  /** Takes an event that was admitted. */
  append(timestamp: number, event: EventWriter): void {
    const { maxBatchEvents, maxBatchBytes } = this.#settings;
    const stream = this.#streams.at(timestamp);
    const size = event.size();
    while (this.#open !== undefined && !this.#fits(this.#open, stream, timestamp, size)) {
      this.#turn(this.#open, timestamp, stream);
    }
    if (this.#open === undefined) {
      this.#open = new Batch(this.#accepted, stream, this.#spare.pop());
      this.#dueIn(this.#sender.fillMs);
    }
    const batch = this.#open;
    this.#spool?.append(batch, event);
    batch.append(timestamp, event);
    this.#accepted++;
    this.#bytes += size;
    this.#logged++;
    // Full: it goes as soon as the millisecond is over, for all events of that travel together.
    if (batch.events === maxBatchEvents || batch.size + LIMITS.eventOverheadBytes >= maxBatchBytes) this.#dueIn(1);
  }

  /** Counts events that are not taken. */
  drop(reason: "oversize" | "queueFull" | "closed", count: number, timestamp: number): void {
    this.#logged += count;
    this.#dropped[reason] += count;
    if (reason !== "oversize") this.#reporter.gather(reason, count, timestamp);
  }

  countPrinted(): void {
    this.#logged++;
    this.#delivered++;
  }

  /** The open batch goes as soon as it can. */
  hurry(): void {
    this.#due = this.#accepted;
    this.#pump();
  }

  /** Sends what is waiting; resolves when all that was accepted before has an outcome. */
  async drained(): Promise<void> {
    const drained = new Promise<void>((done) => this.#draining.push({ upTo: this.#accepted, done }));
    const recovery = this.#isRecovering ? this.#recovery : undefined;
    this.#sender.wake();
    this.hurry();
    this.#notify();
    await drained;
    // What was left by the dead was there before the call, too.
    if (recovery !== undefined) await recovery.then(() => this.drained());
  }

  hasRoomFor(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= QUEUE_ROOM * this.#settings.maxQueueBytes;
  }

  /** Resolves when there is plenty of room for so many bytes, or nothing else in the queue. */
  room(bytes: number): Promise<void> {
    return new Promise((done) => {
      this.#waiting.push({ bytes, done });
      this.#notify();
    });
  }

  /** Stops for good. What has no outcome stays in the spool, or is dropped, reported and returned. */
  close(): LogEvent[] {
    this.state = "closed";
    clearTimeout(this.#timer);
    clearTimeout(this.#recoveryTimer);
    const cause = this.#sender.stop();
    const left = this.#batches();
    const events = left.filter(({ file }) => file === undefined).flatMap((batch) => batch.list());
    this.#spool?.close();
    this.#open = undefined;
    this.#inFlight.clear();
    // Still pending: the next logger of the log group sends it.
    this.#sealed = left.filter(({ file }) => file !== undefined);
    this.#bytes = 0;
    this.#dropped.unsent += events.length;
    this.#reporter.loss("unsent", events, cause);
    this.#reporter.tellGathered();
    for (const { done } of [...this.#draining.splice(0), ...this.#waiting.splice(0)]) done();
    return events;
  }

  #batches(): Batch[] {
    return [...this.#inFlight, ...this.#sealed, ...(this.#open === undefined ? [] : [this.#open])];
  }

  #fits(batch: Batch, stream: LogStream, timestamp: number, size: number): boolean {
    return (
      batch.events < this.#settings.maxBatchEvents &&
      batch.size + size <= this.#settings.maxBatchBytes &&
      batch.stream === stream &&
      batch.spanWith(timestamp) < LIMITS.maxBatchSpanMs
    );
  }

  /** Seals a batch that cannot take the next event. Where that is of its newest millisecond, this one moves on, too. */
  #turn(batch: Batch, timestamp: number, stream: LogStream): void {
    const isSame = timestamp === batch.last && stream === batch.stream;
    const tail = isSame ? batch.cutTail(this.#spare.pop()) : undefined;
    batch.isFull = true;
    this.#seal(batch);
    if (tail !== undefined) {
      this.#spool?.cut(batch, tail, false);
      this.#open = tail;
      this.#dueIn(this.#sender.fillMs);
    }
    this.#pump();
  }

  #seal(batch: Batch): void {
    clearTimeout(this.#timer);
    this.#open = undefined;
    this.#spool?.seal(batch);
    this.#sealed.push(batch.chronological());
  }

  /** The open batch goes after `ms` at the latest; no later event puts that off. */
  #dueIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.hurry(), ms).unref();
  }

  /** Starts every request that may start. */
  #pump(): void {
    for (;;) {
      const open = this.#open;
      const isDue = open !== undefined && open.id < this.#due && this.#inFlight.size === 0;
      if (isDue && this.#sealed.length === 0) this.#seal(open);
      const batch = this.#sealed[0];
      if (batch === undefined || this.#inFlight.size >= this.#sender.window) return;
      for (const other of this.#inFlight) if (!batch.isFull || batch.overlaps(other)) return;
      this.#sealed.shift();
      this.#inFlight.add(batch);
      void this.#deliver(batch);
    }
  }

  async #deliver(batch: Batch): Promise<void> {
    const outcome = await this.#sender.send(batch);
    // Closed meanwhile: it was counted then.
    if (outcome.kind === "stopped" || !this.#inFlight.delete(batch)) return;
    if (outcome.kind === "invalid" && batch.events > 1) {
      // Both wait for each other, for neither is full.
      this.#sealed.unshift(...this.#halves(batch));
    } else {
      const rejected = outcome.kind === "stored" ? outcome.rejected : [{ reason: "invalid" as const, from: 0, to: 1 }];
      const cause = outcome.kind === "invalid" ? outcome.cause : undefined;
      this.#delivered += batch.events;
      this.#bytes -= batch.size;
      for (const { reason, from, to } of rejected) {
        this.#delivered -= to - from;
        this.#rejected[reason] += to - from;
      }
      this.#spool?.done(batch);
      for (const { reason, from, to } of rejected) this.#reporter.loss(reason, batch.list().slice(from, to), cause);
      if (this.#spare.length <= this.#settings.maxInFlight) this.#spare.push(batch.bytes);
    }
    this.#notify();
    this.#pump();
  }

  #halves(batch: Batch): [Batch, Batch] {
    const [head, tail] = batch.halves();
    this.#spool?.cut(head, tail, true);
    this.#spool?.seal(tail);
    return [head, tail];
  }

  /** Takes what dead processes have left, as there is room for it. */
  async #recover(spool: Spool): Promise<void> {
    const { maxBatchBytes, maxBatchEvents } = this.#settings;
    for await (const { logStreamName, events, file } of spool.recover()) {
      const found = Batch.of(this.#accepted, this.#streams.named(logStreamName), events);
      found.file = file;
      // Its logger's limits may have been wider than those of this one.
      for (const parts = [found]; parts[0] !== undefined; ) {
        const [batch] = parts;
        if (batch.events > 1 && (batch.size > maxBatchBytes || batch.events > maxBatchEvents)) {
          parts.splice(0, 1, ...this.#halves(batch));
          continue;
        }
        await this.room(batch.size);
        if (this.state === "closed") return;
        this.#accepted += batch.events;
        this.#bytes += batch.size;
        this.#logged += batch.events;
        this.#sealed.push(batch);
        this.#pump();
        parts.shift();
      }
    }
    this.#isRecovering = false;
    // Others die later, or cannot be told from the living yet.
    this.#recoveryTimer = setTimeout(() => void this.#recover(spool), FOREIGN_TIMEOUT_MS).unref();
  }

  /** Wakes whoever waits for an outcome or for room. */
  #notify(): void {
    const oldest = Math.min(...this.#batches().map(({ id }) => id));
    const isDone = ({ upTo }: { upTo: number }) => upTo <= oldest;
    const drained = this.#draining.filter(isDone);
    this.#draining = this.#draining.filter((waiting) => !isDone(waiting));
    for (const { done } of drained) done();
    // One at a time: each takes some of the room.
    if (this.#waiting[0] === undefined || !this.hasRoomFor(this.#waiting[0].bytes)) return;
    this.#waiting.shift()?.done();
    queueMicrotask(() => this.#notify());
  }
}

// ═══════════════════════════════════════════════ 10 · Sender ════════════════════════════════════════════════

/** What became of a batch: an answer with the ranges that were rejected, a refusal, or neither. */
type Outcome =
  | { kind: "stored"; rejected: { reason: RejectedReason; from: number; to: number }[] }
  | { kind: "invalid"; cause: Error }
  | { kind: "stopped" };

/** What a failed request calls for. */
type Verdict = "transient" | "throttled" | "configuration" | "invalid" | "missing" | "token" | "accepted";

interface Trouble {
  verdict: Verdict;
  error: unknown;
}

/** By the name of the error. What is not here goes by its HTTP status. */
const VERDICTS = new Map<string, Verdict>(
  Object.entries({
    missing: "ResourceNotFoundException",
    token: "InvalidSequenceTokenException",
    accepted: "DataAlreadyAcceptedException",
    invalid: "InvalidParameterException ValidationException SerializationException",
    throttled: "ThrottlingException Throttling TooManyRequests TooManyRequestsException RequestLimitExceeded",
    transient:
      "OperationAbortedException ServiceUnavailableException InternalFailure RequestTimeout RequestTimeoutException",
    configuration: "CredentialsProviderError",
  } satisfies Record<Verdict, string>).flatMap(([verdict, names]) =>
    names.split(" ").map((name) => [name, verdict as Verdict] as const),
  ),
);

/** The fields of an error of the SDK, of Node or of anybody. */
interface AnyError {
  name?: string;
  code?: string;
  message?: string;
  $metadata?: { httpStatusCode?: number };
  expectedSequenceToken?: string | null;
}

function verdictOf(thrown: unknown): Verdict {
  const { name = "", code = "", message = "", $metadata } = (thrown ?? {}) as AnyError;
  const status = $metadata?.httpStatusCode;
  const known = VERDICTS.get(name);
  if (known !== undefined) return known;
  if (status === 413) return "invalid";
  if (status === 429) return "throttled";
  if (status !== undefined) return status >= 400 && status < 500 ? "configuration" : "transient";
  // It never got as far as an answer.
  return /MODULE_NOT_FOUND/.test(code) || /\b(region|credential)/i.test(message) ? "configuration" : "transient";
}

/** The part of the SDK that is used. */
type SdkModule = Pick<
  typeof Sdk,
  | "CloudWatchLogsClient"
  | "PutLogEventsCommand"
  | "CreateLogStreamCommand"
  | "CreateLogGroupCommand"
  | "PutRetentionPolicyCommand"
>;

const NO_EVENTS = '"logEvents":[]';

/** Takes batches to CloudWatch Logs. Answers with an {@link Outcome}, and never throws. */
class Sender {
  requests = 0;
  retries = 0;
  readonly #logGroupName: string;
  readonly #settings: Settings;
  readonly #reporter: Reporter;
  #isStopped = false;
  /** Of the requests that are under way. */
  readonly #aborts = new Set<AbortController>();
  /** What the client signs with, once a request has failed: no report is to repeat it. */
  #secrets: string[] = [];
  #client: Client | undefined;
  /** Outlive the client, which is made anew where its credentials were refused. */
  #agents: Awaited<ReturnType<typeof newAgents>> | undefined;
  #compress: boolean;
  /** Creations under way: whoever misses the same log stream waits for its creation. */
  readonly #creating = new Map<LogStream, Promise<Trouble | undefined>>();
  /** The next sequence token of each log stream, once an endpoint has asked for one; then requests take turns. */
  #tokens: Map<LogStream, string | undefined> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** Ends of the pauses that are under way. */
  readonly #pauses = new Set<() => void>();
  /** The last trouble and what of it was reported, until a batch gets through. */
  #trouble: { cause: Error; reported?: string } | undefined;
  /** How long batches are to fill, as throttling has taught: each doubles it, each request that gets through shortens it. */
  #paceMs = 0;
  /** The SDK serializes in a way that leaves no place for ready-made events. */
  #isPlain = false;

  constructor(logGroupName: string, settings: Settings, reporter: Reporter) {
    this.#logGroupName = logGroupName;
    this.#settings = settings;
    this.#reporter = reporter;
    this.#compress = settings.compress;
  }

  /** How many batches may be under way. In trouble one is enough to find out how things are. */
  get window(): number {
    return this.#trouble !== undefined || this.#tokens !== undefined ? 1 : this.#settings.maxInFlight;
  }

  /** How long a batch has to fill. Fewer, fuller requests are what an account that throttles has room for. */
  get fillMs(): number {
    return Math.max(this.#settings.flushIntervalMs, this.#paceMs * (0.5 + Math.random()));
  }

  /** Ends the pauses that are under way. */
  wake(): void {
    for (const end of this.#pauses) end();
  }

  /** Gives up what is under way. Returns the trouble that held it up, if any. */
  stop(): Error | undefined {
    const { client } = this.#settings;
    this.#isStopped = true;
    this.wake();
    for (const abort of this.#aborts) abort.abort();
    if (client === undefined)
      attempt(() => (this.#client as Sdk.CloudWatchLogsClient | undefined)?.destroy(), undefined);
    return this.#trouble?.cause;
  }

  /** Sends a batch until it has an outcome. */
  async send(batch: Batch): Promise<Outcome> {
    // Not within the log call that filled the batch.
    await undefined;
    let puts = 0;
    let failures = 0;
    let backoff = 0;
    let repairs = 0;
    const wasThrottled = this.#paceMs > Math.min(this.#settings.flushIntervalMs, SHARED_RETRY_MAX_MS);
    while (!this.#isStopped) {
      const creation = batch.stream.isFresh ? await this.#create(batch.stream) : undefined;
      const answer: PutAnswer | Trouble = creation ?? (await this.#put(batch, puts++ > 0));
      if (!("verdict" in answer)) {
        this.#trouble = undefined;
        return { kind: "stored", rejected: this.#rejectedOf(answer, batch.events) };
      }
      if (this.#isStopped) break;
      if (answer.verdict === "accepted") return { kind: "stored", rejected: [] };
      if (answer.verdict === "invalid") return { kind: "invalid", cause: this.#clean(answer.error) };
      const isMissing: boolean = answer.verdict === "missing";
      const trouble = isMissing ? ((await this.#create(batch.stream)) ?? answer) : answer;
      // Repaired: again at once, but not for ever.
      if ((trouble.verdict === "missing" || trouble.verdict === "token") && repairs++ < 3) continue;
      this.#note(trouble, ++failures);
      const isShared = wasThrottled && trouble.verdict === "throttled";
      const transientMs = isShared ? SHARED_RETRY_MAX_MS : RETRY_MAX_MS;
      const maxMs = trouble.verdict === "configuration" ? CONFIGURATION_RETRY_MS : transientMs;
      // Whoever flushes waits, but not for pauses that grew while nobody did.
      backoff = (await this.#pause(++backoff, maxMs)) ? 0 : backoff;
    }
    return { kind: "stopped" };
  }

  async #put(batch: Batch, isRetry: boolean): Promise<PutAnswer | Trouble> {
    const zip = this.#compress && batch.length >= GZIP_MIN_BYTES;
    const answer = await this.#putOnce(batch, zip, isRetry);
    const { $metadata } = ("verdict" in answer ? answer.error : {}) as AnyError;
    const status = $metadata?.httpStatusCode ?? 0;
    if (!zip || !("verdict" in answer) || (answer.verdict !== "invalid" && status !== 415 && status < 500))
      return answer;
    // Endpoints refuse gzip with errors of their own choice. If the same works without, it was that.
    const plain = await this.#putOnce(batch, false, true);
    if (!("verdict" in plain)) this.#compress = false;
    return plain;
  }

  async #putOnce(batch: Batch, zip: boolean, isRetry: boolean): Promise<PutAnswer | Trouble> {
    const tokens = this.#tokens;
    const put = () => this.#request((sdk) => this.#command(sdk, batch, tokens?.get(batch.stream), zip));
    this.requests++;
    if (isRetry) this.retries++;
    try {
      // Each needs the token of the one before.
      this.#turn = tokens === undefined ? put() : this.#turn.then(put, put);
      const answer = (await this.#turn) as PutAnswer;
      const { $metadata, nextSequenceToken } = answer;
      if ($metadata !== undefined && $metadata.requestId === undefined && nextSequenceToken === undefined) {
        throw new Error("The endpoint's answer is not one of CloudWatch Logs");
      }
      tokens?.set(batch.stream, nextSequenceToken);
      this.#paceMs *= 0.97;
      return answer;
    } catch (error) {
      const verdict = verdictOf(error);
      if (verdict === "token" || verdict === "accepted") {
        this.#tokens ??= new Map();
        this.#tokens.set(batch.stream, (error as AnyError).expectedSequenceToken ?? undefined);
      }
      return { verdict, error };
    }
  }

  #command(sdk: SdkModule, batch: Batch, sequenceToken: string | undefined, zip: boolean): object {
    const { entity } = this.#settings;
    const input = {
      logGroupName: this.#logGroupName,
      logStreamName: batch.stream.name,
      ...(sequenceToken !== undefined && { sequenceToken }),
      ...(entity !== undefined && { entity: entity as Sdk.Entity }),
    };
    // A client that is not the SDK's, such as a test double, finds the events here.
    const command = new sdk.PutLogEventsCommand({
      ...input,
      get logEvents() {
        return batch.list();
      },
    });
    if (this.#isPlain) return command;
    // The SDK serializes a request without events, and signs it with them: its own walk over 10,000 events, and the
    // stringifying after that, cost more than all the rest of a log call's way to AWS.
    command.middlewareStack.add((next) => (args) => next({ ...args, input: { ...input, logEvents: [] } }), {
      step: "initialize",
      priority: "high",
    });
    command.middlewareStack.add(
      (next) => async (args) => {
        const request = args.request as { body: Uint8Array | string; headers: Record<string, string> };
        const { body } = request;
        const empty =
          typeof body === "string" ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.length);
        const at = empty.indexOf(NO_EVENTS) + NO_EVENTS.length - 1;
        this.#isPlain = at < NO_EVENTS.length;
        if (this.#isPlain)
          throw new Error("The SDK serializes in an unknown way; its own serializer is used from now on");
        request.body = batch.between(empty.subarray(0, at), empty.subarray(at));
        const zipped = zip ? await gzip(request.body) : request.body;
        if (zipped.length < request.body.length) {
          request.body = zipped;
          request.headers["content-encoding"] = "gzip";
        }
        request.headers["content-length"] = String(request.body.length);
        return next(args);
      },
      { step: "build", priority: "high" },
    );
    return command;
  }

  /** The ranges of events that CloudWatch Logs did not store: ends are exclusive, the start is inclusive. */
  #rejectedOf({ rejectedLogEventsInfo: info, rejectedEntityInfo }: PutAnswer, events: number) {
    if (rejectedEntityInfo !== undefined) {
      this.#reporter.error("ERR_ENTITY", `CloudWatch Logs refused the entity: ${rejectedEntityInfo.errorType}`);
    }
    const index = (value: number | undefined, otherwise: number) =>
      Number.isInteger(value) ? Math.min(Math.max(value as number, 0), events) : otherwise;
    // No event counts twice, whatever the answer says.
    const old = index(info?.tooOldLogEventEndIndex, 0);
    const expired = Math.max(index(info?.expiredLogEventEndIndex, 0), old);
    const young = Math.max(index(info?.tooNewLogEventStartIndex, events), expired);
    const ranges = [
      { reason: "tooOld" as const, from: 0, to: old },
      { reason: "expired" as const, from: old, to: expired },
      { reason: "tooNew" as const, from: young, to: events },
    ];
    return ranges.filter(({ from, to }) => from < to);
  }

  /** Creates a log stream, and its log group where that is missing. Tells what went wrong. */
  #create(stream: LogStream): Promise<Trouble | undefined> {
    const known = this.#creating.get(stream);
    if (known !== undefined) return known;
    const creation = this.#createStream(stream, this.#settings.createLogGroup)
      .then(() => undefined)
      .catch((error: unknown): Trouble => {
        const verdict = verdictOf(error);
        // What CloudWatch Logs calls invalid is a setting here, and no event.
        return { verdict: verdict === "transient" || verdict === "throttled" ? verdict : "configuration", error };
      })
      .finally(() => this.#creating.delete(stream));
    this.#creating.set(stream, creation);
    return creation;
  }

  async #createStream(stream: LogStream, mayCreateGroup: boolean): Promise<void> {
    const logGroupName = this.#logGroupName;
    try {
      const { name: logStreamName } = stream;
      await this.#request((sdk) => new sdk.CreateLogStreamCommand({ logGroupName, logStreamName }));
    } catch (error) {
      const isTaken = (error as Error).name === "ResourceAlreadyExistsException";
      const isGroupMissing = verdictOf(error) === "missing" && mayCreateGroup;
      if (isTaken && stream.isFresh) stream.name = fillName(DEFAULTS.logStreamName, Date.now());
      else if (isGroupMissing) await this.#createGroup();
      else if (!isTaken) throw error;
      if (!isTaken || stream.isFresh) return this.#createStream(stream, mayCreateGroup && !isGroupMissing);
    }
    stream.isFresh = false;
  }

  async #createGroup(): Promise<void> {
    const { tags, kmsKeyId, logGroupClass, retentionInDays } = this.#settings;
    const logGroupName = this.#logGroupName;
    const rest = { logGroupName, ...(kmsKeyId && { kmsKeyId }), ...(logGroupClass && { logGroupClass }) };
    const create = async (input: Sdk.CreateLogGroupCommandInput): Promise<boolean> => {
      try {
        await this.#request((sdk) => new sdk.CreateLogGroupCommand(input));
        return true;
      } catch (error) {
        if ((error as Error).name === "ResourceAlreadyExistsException") return false;
        if (input.tags === undefined || /transient|throttled/.test(verdictOf(error))) throw error;
        // Tags want a permission of their own, and a log group without them is better than none.
        const isCreated = await create(rest);
        if (isCreated) this.#report("ERR_LOG_GROUP", `The tags of log group ${logGroupName} were refused`, error);
        return isCreated;
      }
    };
    const hasTags = tags !== undefined && Object.keys(tags).length > 0;
    const isOurs = await create(hasTags ? { ...rest, tags } : rest);
    if (isOurs && retentionInDays !== undefined) await this.#retain(retentionInDays, 1);
  }

  /** The first try is waited for, so that a short-lived program sets its retention; others go on beside delivery. */
  async #retain(retentionInDays: number, tries: number): Promise<void> {
    const logGroupName = this.#logGroupName;
    try {
      await this.#request((sdk) => new sdk.PutRetentionPolicyCommand({ logGroupName, retentionInDays }));
    } catch (error) {
      if (!this.#isStopped && /transient|throttled/.test(verdictOf(error))) {
        void this.#pause(tries, RETRY_MAX_MS).then(() => this.#retain(retentionInDays, tries + 1));
      } else {
        this.#report("ERR_LOG_GROUP", `The retention policy of log group ${logGroupName} was not set`, error);
      }
    }
  }

  /** One request, given up after REQUEST_TIMEOUT_MS or when the sender stops. */
  async #request(command: (sdk: SdkModule) => object): Promise<unknown> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), REQUEST_TIMEOUT_MS).unref();
    this.#aborts.add(abort);
    const late = new Promise<never>((_, reject) => {
      const error = Object.assign(new Error(`No answer within ${REQUEST_TIMEOUT_MS} ms`), { name: "TimeoutError" });
      abort.signal.addEventListener("abort", () => reject(error));
    });
    try {
      // Some clients do not heed the signal.
      return await Promise.race([this.#send(command, abort.signal), late]);
    } finally {
      clearTimeout(timer);
      this.#aborts.delete(abort);
    }
  }

  async #send(command: (sdk: SdkModule) => object, abortSignal: AbortSignal): Promise<unknown> {
    // Not remembered: where it fails, the next try may find it.
    const sdk: SdkModule = await import("@aws-sdk/client-cloudwatch-logs");
    const { client, region, profile, credentials, endpoint } = this.#settings;
    this.#agents ??= await newAgents();
    this.#client ??=
      client ??
      new sdk.CloudWatchLogsClient({
        ...(region !== undefined && { region }),
        ...(profile !== undefined && { profile }),
        ...(credentials !== undefined && { credentials }),
        ...(endpoint !== undefined && { endpoint }),
        // The retries of this file are the only ones: they know when to halve, to create and to stop.
        maxAttempts: 1,
        requestHandler: this.#agents,
        // With a method "info", the SDK would copy every input for it.
        logger: { trace() {}, debug() {}, warn() {}, error() {} },
      } as Sdk.CloudWatchLogsClientConfig);
    const used = this.#client;
    try {
      return await used.send(command(sdk) as never, { abortSignal } as never);
    } catch (error) {
      await this.#learnSecrets(used as Partial<Sdk.CloudWatchLogsClient>);
      throw error;
    }
  }

  async #learnSecrets({ config }: Partial<Sdk.CloudWatchLogsClient>): Promise<void> {
    try {
      const { secretAccessKey, sessionToken } = (await config?.credentials?.()) ?? {};
      this.#secrets = [secretAccessKey, sessionToken].flatMap((secret) => secret || []);
    } catch {
      // Without credentials there are no secrets.
    }
  }

  /** Remembers trouble, and reports it once for each change. */
  #note({ verdict, error }: Trouble, failures: number): void {
    const cause = this.#clean(error);
    const reported = this.#trouble?.reported;
    this.#trouble = { cause, ...(reported !== undefined && { reported }) };
    const { flushIntervalMs } = this.#settings;
    if (verdict === "throttled") this.#paceMs = Math.min(2 * Math.max(this.#paceMs, flushIntervalMs), PACE_MAX_MS);
    // Credentials may be right next time: a new client asks for them again.
    if (verdict === "configuration" && this.#settings.client === undefined) this.#client = undefined;
    if (cause.name === reported || (verdict !== "configuration" && failures < REPORT_AFTER_TRIES)) return;
    this.#trouble.reported = cause.name;
    const isMissing = /MODULE_NOT_FOUND/.test((error as AnyError).code ?? "");
    if (isMissing)
      this.#report("ERR_SDK_MISSING", "npm install @aws-sdk/client-cloudwatch-logs, events wait for it", error);
    else if (verdict === "configuration") this.#report("ERR_CONFIGURATION", "Events wait for its repair", error);
    else this.#report("ERR_TRANSIENT", "CloudWatch Logs cannot be reached, events wait", error);
  }

  #report(code: string, text: string, error: unknown): void {
    const cause = this.#clean(error);
    this.#reporter.error(code, `${text}: ${cause.name}: ${cause.message}`, cause);
  }

  /** The error without request and answer, whose headers are signed, and without what AWS quotes of them. */
  #clean(error: unknown): Error {
    const { name, message, $metadata } = (error ?? {}) as AnyError;
    const withoutSecrets = (text: unknown) =>
      this.#secrets.reduce((cleaned, secret) => cleaned.replaceAll(secret, "[redacted]"), String(text)).slice(0, 500);
    // SignatureDoesNotMatch goes on to quote the signed headers.
    const text = withoutSecrets(String(message).split(/\n|The Canonical String/, 1)[0]);
    return Object.assign(new Error(text), { name: withoutSecrets(name) }, $metadata && { $metadata: { ...$metadata } });
  }

  /** Exponential backoff with full jitter; the timer does not keep the process alive. True where `wake` ended it. */
  #pause(failures: number, maxMs: number): Promise<boolean> {
    const ms = Math.random() * Math.min(maxMs, RETRY_MIN_MS * 2 ** Math.min(failures - 1, 30));
    return new Promise((resolve) => {
      const end = (isWoken: boolean) => {
        clearTimeout(timer);
        this.#pauses.delete(wake);
        resolve(isWoken);
      };
      const wake = () => end(true);
      const timer = setTimeout(() => end(false), ms).unref();
      this.#pauses.add(wake);
      if (this.#isStopped) wake();
    });
  }
}

async function newAgents() {
  const [http, https] = await Promise.all([import("node:http"), import("node:https")]);
  return {
    // Otherwise a timer of the SDK's keeps the process alive for 3 s, to warn of a lack of sockets.
    socketAcquisitionWarningTimeout: 1,
    httpAgent: unrefSockets(new http.Agent({ keepAlive: true })),
    httpsAgent: unrefSockets(new https.Agent({ keepAlive: true })),
  };
}

/** Sockets that do not keep the process alive: how long its end waits for them is up to `closeTimeoutMs`. */
function unrefSockets<T extends HttpAgent>(agent: T): T {
  const { createConnection, reuseSocket } = agent as unknown as Record<string, (...values: unknown[]) => net.Socket>;
  // Not every runtime's agents have these.
  return Object.assign(agent, {
    ...(createConnection && {
      createConnection: (...values: unknown[]) => createConnection.apply(agent, values).unref(),
    }),
    ...(reuseSocket && {
      reuseSocket(socket: net.Socket, request: unknown) {
        reuseSocket.call(agent, socket, request);
        socket.unref();
      },
    }),
  });
}

/** What a client answers; one that is not the SDK's may leave out anything. */
type PutAnswer = Partial<Sdk.PutLogEventsCommandOutput>;

/** Off the main thread. Level 1 makes logs five times smaller; level 6 makes them six times smaller, at three times the cost. */
async function gzip(body: Uint8Array): Promise<Uint8Array> {
  const zlib = await import("node:zlib");
  return new Promise((resolve, reject) => {
    zlib.gzip(body, { level: 1 }, (error, zipped) => (error === null ? resolve(zipped) : reject(error)));
  });
}

// ════════════════════════════════════════════════ 11 · Spool ════════════════════════════════════════════════
//
// A batch is a file: a line that says where it belongs, then a line for each event, as it stands in the batch.
//
//   <spoolDirectory>/<group>-<kernel>-<owner>.sock   a socket that listens for as long as its owner lives
//   <spoolDirectory>/<group>-<kernel>-<owner>/…      the owner's files
//
// The socket is the lock: the kernel closes it with the process, whatever ends that, and it tells the living from the
// dead in every container that shares the directory. To take over, a directory is moved into one's own: only one can.

/** Of another kernel no socket can tell: its directories are the living's until so long after their last change. */
const FOREIGN_TIMEOUT_MS = 10 * 60_000;
const HEARTBEAT_MS = 60_000;

/** The file of a batch, and its descriptor while the batch is open. */
interface SpoolFile {
  path: string;
  descriptor?: number;
}

/** What a dead process has left of a batch. */
interface SpooledBatch {
  logStreamName: string;
  events: LogEvent[];
  file: SpoolFile;
}

class Spool {
  readonly #fs = builtin("node:fs");
  readonly #path = builtin("node:path");
  readonly #directory: string;
  readonly #prefix: string;
  readonly #reporter: Reporter;
  /** Path of the own directory, once it is there. */
  #home: string | undefined;
  #server: net.Server | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #files = 0;
  /** It has failed, and the logger goes on without it; or it is closed. */
  #isOff = false;

  constructor(directory: string, logGroupName: string, reporter: Reporter) {
    const kernel = attempt(
      () => this.#fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8"),
      builtin("node:os").hostname(),
    );
    this.#directory = directory;
    this.#prefix = `${shortHash(logGroupName)}-${shortHash(kernel)}-`;
    this.#reporter = reporter;
  }

  /** Writes an event to the file of its batch, before the log call returns. */
  append(batch: Batch, event: EventWriter): void {
    if (this.#isOff) return;
    const isSafe = this.#try(() => {
      const bytes = event.bytes(LINE_BREAK);
      if (batch.file === undefined) {
        batch.file = this.#create(batch, bytes.toString());
        return;
      }
      if (this.#fs.writeSync(batch.file.descriptor as number, bytes) < bytes.length) throw new Error("No space left");
    });
    // The file lacks an event: it would vouch for less than the batch has.
    if (!isSafe) this.done(batch);
  }

  /** The last events of `head` have become the batch `tail`: its file says so, then the file of `head` does. */
  cut(head: Batch, tail: Batch, isHalf: boolean): void {
    const { file } = head;
    if (file === undefined || this.#isOff) return;
    this.#try(() => {
      const lines = tail.list().map((event) => `${JSON.stringify(event)}\n`);
      const name = this.#path.basename(file.path);
      // By name, a half comes right behind its head, and before halves of the head that were cut earlier.
      const tailName = isHalf ? `${name}-${999_999_999 - this.#files++}` : undefined;
      tail.file = this.#create(tail, lines.join(""), [name, head.events], tailName);
      this.#fs.appendFileSync(file.path, keepLine(head.events));
    });
  }

  /** No more events go into the file of this batch. */
  seal({ file }: Batch): void {
    if (file?.descriptor === undefined) return;
    this.#fs.closeSync(file.descriptor);
    delete file.descriptor;
  }

  /** Every event of the batch has an outcome. */
  done(batch: Batch): void {
    const { file } = batch;
    if (file === undefined) return;
    this.seal(batch);
    batch.file = undefined;
    this.#try(() => this.#fs.rmSync(file.path, { force: true }));
  }

  /** Takes over what dead processes have left, oldest first. */
  async *recover(): AsyncGenerator<SpooledBatch> {
    if (this.#isOff || !this.#try(() => this.#open())) return;
    for (const name of attempt(() => this.#fs.readdirSync(this.#directory), [])) {
      const owner = /^([\da-f]{8}-[\da-f]{8}-[\da-f]{8})(\.sock)?$/.exec(name)?.[1];
      const path = this.#path.join(this.#directory, name);
      if (
        owner === undefined ||
        !owner.startsWith(this.#prefix.slice(0, 9)) ||
        owner === this.#path.basename(this.#home ?? "")
      )
        continue;
      if ((await this.#isAlive(owner)) || this.#isOff) continue;
      if (name === owner && !attempt(() => this.#fs.lstatSync(path).isDirectory(), false)) continue;
      if (name !== owner) {
        // A socket stays behind where its owner's directory has been taken over, or was never made.
        const isOld = attempt(() => Date.now() - this.#fs.statSync(path).mtimeMs > HEARTBEAT_MS, false);
        if (isOld && !this.#fs.existsSync(this.#path.join(this.#directory, owner)))
          attempt(() => this.#fs.rmSync(path), undefined);
        continue;
      }
      const taken = this.#path.join(this.#home as string, name);
      if (attempt(() => this.#fs.renameSync(path, taken), "gone") === "gone") continue;
      attempt(() => this.#fs.rmSync(this.#socketOf(owner), { force: true }), undefined);
      yield* this.#read(taken);
    }
  }

  /** Leaves what has no outcome for the next logger of this log group. */
  close(): void {
    this.#isOff = true;
    clearInterval(this.#heartbeat);
    this.#server?.close();
    const home = this.#home;
    if (home === undefined) return;
    attempt(() => this.#fs.rmSync(this.#socketOf(this.#path.basename(home)), { force: true }), undefined);
    // Only where it is empty.
    attempt(() => this.#fs.rmdirSync(home), undefined);
  }

  #create(batch: Batch, lines: string, cut?: [file: string, keep: number], name = this.#newName()): SpoolFile {
    this.#open();
    const path = this.#path.join(this.#home as string, name);
    const descriptor = this.#fs.openSync(path, "ax", 0o600);
    // Header and events in one call: no moment lies between them.
    const text = `${JSON.stringify({ logStreamName: batch.stream.name, cut })}\n${lines}`;
    if (this.#fs.writeSync(descriptor, text) < Buffer.byteLength(text)) throw new Error("No space left");
    return { path, descriptor };
  }

  #newName(): string {
    return `${Date.now()}-${String(this.#files++).padStart(9, "0")}-${randomDigits(8)}`;
  }

  /** Makes the own directory and the socket that guards it, the socket first. */
  #open(): void {
    if (this.#home !== undefined) return;
    makeDirectory(this.#fs, this.#directory);
    const { mode, uid } = this.#fs.lstatSync(this.#directory);
    const isOurs = process.getuid === undefined || (uid === process.getuid() && (mode & 0o022) === 0);
    if ((mode & this.#fs.constants.S_IFMT) !== this.#fs.constants.S_IFDIR || !isOurs) {
      throw new Error("It must be a directory, no link, of this user, and writable by no other");
    }
    const name = this.#prefix + randomDigits(8);
    const socket = this.#socketOf(name);
    this.#server = builtin("node:net").createServer((connection) => connection.destroy());
    this.#server.on("error", (error) => {
      // Without its lock the directory would look like a dead process's.
      this.#try(() => {
        this.#fs.rmSync(this.#path.join(this.#directory, name), { recursive: true, force: true });
        throw error;
      });
    });
    this.#server.listen({ path: socket, exclusive: true }).unref();
    attempt(() => this.#fs.chmodSync(socket, 0o600), undefined);
    const home = this.#path.join(this.#directory, name);
    this.#fs.mkdirSync(home, { mode: 0o700 });
    this.#home = home;
    this.#heartbeat = setInterval(
      () => attempt(() => this.#fs.utimesSync(home, new Date(), new Date()), undefined),
      HEARTBEAT_MS,
    );
    this.#heartbeat.unref();
  }

  /** The path of a socket may have about 100 characters; the shorter way to it is taken. */
  #socketOf(name: string): string {
    if (process.platform === "win32") return `\\\\.\\pipe\\cwlogger-${name}`;
    const path = this.#path.join(this.#directory, `${name}.sock`);
    const fromHere = this.#path.relative(process.cwd(), path);
    return fromHere.length < path.length ? fromHere : path;
  }

  async #isAlive(name: string): Promise<boolean> {
    if (!name.startsWith(this.#prefix)) {
      const { mtimeMs } = attempt(() => this.#fs.statSync(this.#path.join(this.#directory, name)), { mtimeMs: 0 });
      return Date.now() - mtimeMs < FOREIGN_TIMEOUT_MS;
    }
    return new Promise((resolve) => {
      const connection = builtin("node:net").connect(this.#socketOf(name));
      connection.once("connect", () => resolve(true));
      connection.once("error", ({ code }: NodeJS.ErrnoException) =>
        resolve(code !== "ECONNREFUSED" && code !== "ENOENT"),
      );
      connection.once("close", () => connection.destroy());
      connection.unref();
    });
  }

  /** Moves the files of a directory, and of one that its owner was taking over, to the own ones; gives their batches. */
  *#read(directory: string): Generator<SpooledBatch> {
    const entries = attempt(() => this.#fs.readdirSync(directory, { withFileTypes: true, recursive: true }), []);
    const files = entries.filter((entry) => entry.isFile()).sort((a, b) => (a.name < b.name ? -1 : 1));
    const cuts = new Map<string, number>();
    const home = this.#home as string;
    const isMoved = this.#try(() => {
      for (const file of files) {
        const path = this.#path.join(file.parentPath ?? file.path, file.name);
        const { cut } = parseSpoolFile(this.#fs.readFileSync(path, "utf8"));
        if (cut !== undefined) cuts.set(cut[0], Math.min(cut[1], cuts.get(cut[0]) ?? cut[1]));
      }
      for (const file of files)
        this.#fs.renameSync(this.#path.join(file.parentPath ?? file.path, file.name), this.#path.join(home, file.name));
      for (const { name } of files) {
        const keep = cuts.get(name);
        if (keep !== undefined) this.#fs.appendFileSync(this.#path.join(home, name), keepLine(keep));
      }
      this.#fs.rmSync(directory, { recursive: true, force: true });
    });
    if (!isMoved) return;
    for (const { name } of files) {
      const path = this.#path.join(home, name);
      const { logStreamName, events } = parseSpoolFile(attempt(() => this.#fs.readFileSync(path, "utf8"), ""));
      const kept = events.slice(0, cuts.get(name));
      if (kept.length > 0) yield { logStreamName, events: kept, file: { path } };
      else this.#try(() => this.#fs.rmSync(path, { force: true }));
    }
  }

  /** False where it failed; the first failure is told, and the last: from then on the logger goes without. */
  #try(action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      if (!this.#isOff) {
        const text = `The spool directory cannot be used, the logger goes on without it: ${reasonOf(error)}`;
        this.#reporter.error("ERR_SPOOL", text);
      }
      this.#isOff = true;
      return false;
    }
  }
}

/** Whole lines only: what follows the last line break was being written when its process died. */
function parseSpoolFile(text: string): {
  logStreamName: string;
  cut?: [string, number] | undefined;
  events: LogEvent[];
} {
  const [header, ...lines] = text
    .split("\n")
    .slice(0, -1)
    .map((line) => attempt(() => JSON.parse(line) as unknown, {}));
  const { logStreamName, cut } = (header ?? {}) as { logStreamName?: unknown; cut?: [string, number] };
  let events = (lines as LogEvent[]).filter(
    (event) => Number.isSafeInteger(event?.timestamp) && typeof event.message === "string",
  );
  const keeps = (lines as { keep?: number }[]).flatMap((line) =>
    Number.isInteger(line?.keep) ? (line.keep ?? 0) : [],
  );
  events = events.sort((a, b) => a.timestamp - b.timestamp).slice(0, Math.min(...keeps, events.length));
  return { logStreamName: String(logStreamName ?? "unknown"), cut: Array.isArray(cut) ? cut : undefined, events };
}

/** At the end of a file: only so many of its events, by time, are its own. */
function keepLine(events: number): string {
  return `{"keep":${events}}\n`;
}

/** Node's own recursion does not end where a file system takes no directories. */
function makeDirectory(fs: typeof Fs, path: string): void {
  if (fs.existsSync(path)) return;
  makeDirectory(fs, builtin("node:path").dirname(path));
  try {
    fs.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process was quicker.
    if ((error as AnyError).code !== "EEXIST") throw error;
  }
}

/** FNV-1a, as eight hexadecimal digits. */
function shortHash(text: string): string {
  const hash = Buffer.from(text).reduce((before, byte) => Math.imul(before ^ byte, 0x01000193), 0x811c9dc5);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

// ═══════════════════════════════════════════════ 12 · Stream ════════════════════════════════════════════════

/** Levels of winston that have other names here. */
const OTHER_LEVELS = new Map<string, Level>([
  ["http", "info"],
  ["verbose", "debug"],
  ["silly", "trace"],
  ["notice", "info"],
  ["warning", "warn"],
  ["crit", "fatal"],
  ["alert", "fatal"],
  ["emerg", "fatal"],
]);

/** winston hands over records with these; `levels` and `level` come from its logger. */
const WINSTON_LEVEL = Symbol.for("level");
const WINSTON_MESSAGE = Symbol.for("message");
type WinstonRecord = Fields & { [WINSTON_LEVEL]?: string; [WINSTON_MESSAGE]?: unknown };
interface WinstonLogger {
  level?: string;
  levels?: Record<string, number>;
}
interface WinstonFormat {
  transform(record: WinstonRecord, options?: unknown): unknown;
  options?: unknown;
}

/** What hosts set on a stream. */
interface HostProperties {
  /** winston, as on any of its transports. */
  level?: string;
  silent?: boolean;
  format?: WinstonFormat;
  levels?: Record<string, number>;
  /** pino before each write, because of the symbol: no line needs to be parsed for its time and level. */
  lastLevel?: number | undefined;
  lastTime?: string | undefined;
}

/** Takes what pino, winston, bunyan, morgan and pipes write to its stream, which never emits `'error'`. */
class Inlet {
  readonly stream: Writable & HostProperties;
  readonly #core: Core;
  readonly #fields: () => Fields | undefined;
  readonly #closes: boolean;
  readonly #decoder = new (builtin("node:string_decoder").StringDecoder)("utf8");
  #line = "";
  #winston: WinstonLogger | undefined;
  /** Whoever pipes heeds backpressure, so it may wait for room; other hosts only buffer without bound. */
  #mayWait: boolean;

  constructor(core: Core, fields: () => Fields | undefined, closes: boolean) {
    this.#core = core;
    this.#fields = fields;
    this.#closes = closes;
    this.#mayWait = closes;
    const stream = new (builtin("node:stream").Writable)({
      objectMode: true,
      decodeStrings: false,
      write: (chunk, _encoding, callback) => this.#write(chunk, callback),
      final: (callback) => this.#end(callback),
    });
    const write = stream.write.bind(stream) as (...given: unknown[]) => boolean;
    this.stream = Object.assign(stream, {
      [Symbol.for("pino.metadata")]: true,
      write: (chunk: unknown, ...rest: unknown[]): boolean => {
        if (!stream.writableEnded && chunk !== null && chunk !== undefined) return write(chunk, ...rest);
        core.queue.drop("closed", 1, Date.now());
        const callback = rest.at(-1);
        if (typeof callback === "function") queueMicrotask(callback as () => void);
        return true;
      },
      /** winston asks for a method of this name and calls `write`. */
      log(record: unknown, callback?: () => void): void {
        stream.write(record);
        callback?.();
      },
      /** pino's `logger.flush(callback)`. */
      flush: (callback?: () => void): void => void core.flush().then(() => callback?.()),
    });
    stream.on("pipe", (source: unknown) => {
      const winston = source as WinstonLogger;
      if (typeof winston.levels === "object") this.#winston = winston;
      else this.#mayWait = true;
    });
    // Such as that of a write after the end. Nobody is to die of it.
    stream.on("error", () => {});
  }

  #write(chunk: unknown, callback: () => void): void {
    const { stream } = this;
    // Of this chunk, unless chunks may wait: then pino is ahead of it.
    const time = this.#mayWait ? undefined : timeOf(stream.lastTime);
    const level = this.#mayWait ? undefined : levelOf(stream.lastLevel);
    stream.lastTime = undefined;
    stream.lastLevel = undefined;
    if (typeof chunk === "object" && !(chunk instanceof Uint8Array)) {
      attempt(() => this.#record(chunk as WinstonRecord), undefined);
      callback();
      return;
    }
    const text = typeof chunk === "string" ? chunk : this.#decode(chunk);
    // Only what is new is searched, for a line may come in many pieces; one that nothing could hold is cut.
    const lines = text.split("\n");
    lines[0] = this.#line + lines[0];
    const isEndless = (lines.at(-1) as string).length > this.#core.maxLineLength;
    this.#line = isEndless ? "" : (lines.pop() as string);
    this.#send(lines, callback, time, level);
  }

  #end(callback: () => void): void {
    const { queue } = this.#core;
    const finish = () => void (this.#closes ? this.#core.close() : queue.drained()).then(() => callback());
    this.#send([this.#line + this.#decoder.end()], finish);
    this.#line = "";
  }

  #decode(chunk: unknown): string {
    return chunk instanceof Uint8Array ? this.#decoder.write(chunk) : String(chunk);
  }

  /** Sends lines at once; or, if the source can wait, as there is room for them. */
  #send(lines: string[], callback: () => void, time?: number, level?: Level): void {
    const { queue } = this.#core;
    for (const [index, raw] of lines.entries()) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line.trim() === "") continue;
      const bytes = Buffer.byteLength(line) + LIMITS.eventOverheadBytes;
      if (this.#mayWait && !queue.hasRoomFor(bytes)) {
        void queue.room(bytes).then(() => this.#send(lines.slice(index), callback, time, level));
        return;
      }
      const record = time === undefined && line.trimStart().startsWith("{") ? parseObject(line) : {};
      const timestamp = time ?? timeOf(record["time"] ?? record["timestamp"]) ?? Date.now();
      this.#core.send(level ?? levelOf(record["level"]) ?? "info", timestamp, line);
    }
    callback();
  }

  #record(record: WinstonRecord): void {
    const text = record[WINSTON_MESSAGE];
    const isWinston = typeof record[WINSTON_LEVEL] === "string";
    if (isWinston && !this.#accepts(record)) return;
    const { format } = this.stream;
    const formatted = format === undefined ? text : formattedBy(format, record);
    if (isWinston) {
      if (typeof formatted !== "string") return;
      const level = levelOf(record[WINSTON_LEVEL]) ?? "info";
      this.#core.send(level, timeOf(record["timestamp"]) ?? Date.now(), formatted);
      // winston ends the process within 3 s of an exception.
      if (record["exception"] === true) this.#core.queue.hurry();
      queueMicrotask(() => this.stream.emit("logged", record));
      return;
    }
    if (isError(record)) {
      this.#core.log("stream", "error", Date.now(), record, this.#fields(), undefined, undefined);
      return;
    }
    // bunyan's raw records, and objects that morgan's or anybody's format gives.
    const { time, timestamp, level, msg, ...fields } = record;
    const message = msg === undefined ? fields : msg;
    const at = timeOf(time ?? timestamp) ?? Date.now();
    const more = msg === undefined ? undefined : fields;
    this.#core.log("stream", levelOf(level) ?? "info", at, message, this.#fields(), more, undefined);
  }

  /** winston's rule: the level of the transport, or else that of the logger. */
  #accepts(record: WinstonRecord): boolean {
    const { stream } = this;
    const levels = stream.levels ?? this.#winston?.levels;
    const threshold = stream.level ?? this.#winston?.level;
    if (stream.silent === true) return false;
    if (levels === undefined || threshold === undefined) return true;
    return (levels[threshold] ?? Number.POSITIVE_INFINITY) >= (levels[record[WINSTON_LEVEL] as string] ?? 0);
  }
}

function formattedBy(format: WinstonFormat, record: WinstonRecord): unknown {
  const result = format.transform({ ...record }, format.options);
  return typeof result === "object" && result !== null ? (result as WinstonRecord)[WINSTON_MESSAGE] : undefined;
}

function parseObject(line: string): Fields {
  const value = attempt(() => JSON.parse(line) as unknown, undefined);
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

/** A level by number (pino, bunyan: 10 to 60) or by name, in any case. */
function levelOf(level: unknown): Level | undefined {
  if (typeof level === "number") {
    const levels = Object.keys(LEVELS).filter(isLevel);
    return levels.findLast((name) => LEVELS[name] <= level) ?? "trace";
  }
  if (typeof level !== "string") return undefined;
  const name = level.toLowerCase();
  return isLevel(name) ? name : OTHER_LEVELS.get(name);
}

/** Milliseconds since the epoch from a number (ms; pino may give seconds or nanoseconds), a date or its text. */
function timeOf(time: unknown): number | undefined {
  let ms = typeof time === "string" && !/^\d+$/.test(time) ? Date.parse(time) : Number(time ?? Number.NaN);
  if (ms < 1e11) ms *= 1_000;
  else if (ms > 1e17) ms /= 1e6;
  return ms >= 0 && ms < 8.64e15 ? Math.floor(ms) : undefined;
}

// ══════════════════════════════════════════════ 13 · Utilities ══════════════════════════════════════════════

type Rule = readonly [type: string, words: string, isValid?: (value: never) => boolean];

const isInteger = (from: number, to: number): Rule => [
  "number",
  `an integer from ${from} to ${to}`,
  (value: number) => Number.isInteger(value) && value >= from && value <= to,
];
const isOneOf = (...words: string[]): Rule => [
  "string",
  `one of ${words.join(", ")}`,
  (value: string) => words.includes(value),
];
const isText = (what: string): Rule => ["string", what, (value: string) => value !== ""];
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Type, rule and test of each option: what can be checked up front. */
const RULES: Record<string, Rule> = {
  logStreamName: ["string", `1 to ${LIMITS.maxNameLength} characters without ":" and "*"`, isStreamName],
  region: isText("the name of a region"),
  profile: isText("the name of a profile"),
  credentials: ["object|function", '"accessKeyId" and "secretAccessKey" together, or a function', isCredentials],
  endpoint: ["string", "an http or https URL", (url: string) => /^https?:$/.test(new URL(url).protocol)],
  client: ["object", "a CloudWatchLogsClient", (client: Client) => typeof client.send === "function"],
  createLogGroup: ["boolean", "a boolean"],
  retentionInDays: [
    "number",
    `one of ${LIMITS.retentionInDays.join(" ")}`,
    (days: number) => LIMITS.retentionInDays.includes(days),
  ],
  tags: [
    "object",
    `up to ${LIMITS.maxTags} tags, keys of 1 to ${LIMITS.maxTagKeyLength} characters, values of up to ${LIMITS.maxTagValueLength}`,
    isTags,
  ],
  kmsKeyId: ["string", "1 to 256 characters", (id: string) => id.length > 0 && id.length <= LIMITS.maxKmsKeyIdLength],
  logGroupClass: isOneOf("STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"),
  entity: ["object", '2 to 4 "keyAttributes" and up to 10 "attributes", all strings', isEntity],
  level: isOneOf(...Object.keys(LEVELS)),
  fields: ["object", "an object"],
  format: ["string|function", '"json", "text", a template or a function', (format: unknown) => format !== ""],
  redact: ["object", "an array of names and dotted paths", (names: unknown) => isTexts(names)],
  console: ["boolean", "a boolean"],
  overflow: isOneOf("error", "truncate", "split"),
  maxEventBytes: isInteger(LIMITS.minEventBytes, LIMITS.maxBatchBytes),
  maxBatchBytes: isInteger(LIMITS.minEventBytes, LIMITS.maxBatchBytes),
  maxBatchEvents: isInteger(1, LIMITS.maxBatchEvents),
  flushIntervalMs: [
    "number",
    "a positive integer",
    (ms: number) => Number.isInteger(ms) && ms > 0 && ms <= MAX_TIMER_MS,
  ],
  maxInFlight: isInteger(1, 16),
  maxQueueBytes: isInteger(LIMITS.minEventBytes, Number.MAX_SAFE_INTEGER),
  compress: ["boolean", "a boolean"],
  spoolDirectory: isText("the path of a directory"),
  closeTimeoutMs: isInteger(0, MAX_TIMER_MS),
  closeOnSignals: ["object", "an array of signals that can be caught", isSignals],
  onError: ["function", "a function"],
  onLoss: ["function", "a function"],
};

const LOG_GROUP_RULE: Rule = [
  "string",
  `1 to ${LIMITS.maxNameLength} characters of . _ - / # A-Z a-z 0-9, not starting with "aws/"`,
  (name: string) =>
    /^[._\-/#A-Za-z0-9]+$/.test(name) && name.length <= LIMITS.maxNameLength && !name.startsWith("aws/"),
];

/** Values of these are never shown: they hold secrets, or may. */
const SECRETIVE = new Set(["credentials", "endpoint", "client"]);

function validate(logGroupName: unknown, options: CloudwatchLoggerOptions): Settings {
  if (logGroupName === undefined) refuse(TypeError, "logGroupName", "must be a log group, or null to print", undefined);
  if (logGroupName !== null) check("logGroupName", logGroupName, LOG_GROUP_RULE);
  if (typeof options !== "object" || options === null) refuse(TypeError, "options", "must be an object", options);
  const given: Fields = {};
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(RULES, name))
      throw new TypeError(`Cannot create CloudwatchLogger: unknown option ${show(name)}`);
    if (value !== undefined) check(name, value);
    if (value !== undefined) given[name] = value;
  }
  for (const name of ["region", "profile", "credentials", "endpoint"]) {
    if (given["client"] === undefined || given[name] === undefined) continue;
    throw new TypeError(`Cannot create CloudwatchLogger: "client" excludes "${name}"`);
  }
  const settings = { ...DEFAULTS, ...given } as Settings;
  const { maxBatchBytes, maxQueueBytes } = settings;
  settings.maxEventBytes ??= maxBatchBytes;
  const isEventTooLarge = settings.maxEventBytes > maxBatchBytes;
  const rule = `"maxBatchBytes", ${maxBatchBytes}`;
  if (isEventTooLarge) refuse(RangeError, "maxEventBytes", `must be at most ${rule}`, settings.maxEventBytes);
  if (maxQueueBytes < maxBatchBytes) refuse(RangeError, "maxQueueBytes", `must be at least ${rule}`, maxQueueBytes);
  return settings;
}

function check(name: string, value: unknown, [type, words, isValid]: Rule = RULES[name] as Rule): void {
  const isType = type.split("|").includes(typeof value) && value !== null;
  if (isType && (isValid === undefined || attempt(() => isValid(value as never), false))) return;
  refuse(isType && typeof value !== "object" ? RangeError : TypeError, name, `must be ${words}`, value);
}

function refuse(Kind: new (text: string) => Error, name: string, rule: string, value: unknown): never {
  const received = SECRETIVE.has(name) ? `a value of type ${typeof value}` : show(value);
  throw new Kind(`Cannot create CloudwatchLogger: "${name}" ${rule}, received ${received}`);
}

function show(value: unknown): string {
  const inspected = () => builtin("node:util").inspect(value, { depth: 1, breakLength: Infinity });
  return attempt(typeof value === "string" ? () => JSON.stringify(value) : inspected, "a hostile value").slice(0, 200);
}

function isStreamName(template: string): boolean {
  const { length } = fillName(template, 0).replaceAll("{date}", "YYYY-MM-DD");
  return length > 0 && length <= LIMITS.maxNameLength && !/[:*]/.test(template);
}

function isTexts(value: unknown, canBeEmpty = false): value is string[] {
  return Array.isArray(value) && value.every((text) => typeof text === "string" && (canBeEmpty || text !== ""));
}

function isCredentials(value: Credentials | (() => unknown)): boolean {
  if (typeof value === "function") return true;
  const { accessKeyId, secretAccessKey, sessionToken = "none" } = value;
  return isTexts([accessKeyId, secretAccessKey, sessionToken]);
}

function isTags(tags: object): boolean {
  const [keys, values] = [Object.keys(tags), Object.values(tags)];
  const isShort = (texts: string[], length: number) => texts.every((text) => text.length <= length);
  const isComplete = keys.length <= LIMITS.maxTags && isTexts(keys) && isTexts(values, true);
  return isComplete && isShort(keys, LIMITS.maxTagKeyLength) && isShort(values, LIMITS.maxTagValueLength);
}

function isEntity({ keyAttributes = {}, attributes = {} }: NonNullable<CloudwatchLoggerOptions["entity"]>): boolean {
  const [keys, others] = [Object.values(keyAttributes), Object.values(attributes)];
  return keys.length >= 2 && keys.length <= 4 && others.length <= 10 && isTexts([...keys, ...others]);
}

function isSignals(names: unknown): boolean {
  const canBeCaught = (name: string) =>
    !/^SIG(KILL|STOP)$/.test(name) && Object.hasOwn(builtin("node:os").constants.signals, name);
  return Array.isArray(names) && names.every(canBeCaught);
}

function isLevel(level: unknown): level is Level {
  return isThreshold(level) && level !== "silent";
}

function isThreshold(level: unknown): level is Threshold {
  return typeof level === "string" && Object.hasOwn(LEVELS, level);
}

/** Fills in what is known when the logger is made; `{date}` stays. */
function fillName(template: string, madeAt: number): string {
  const micros = () => String(process.hrtime()[1] % 1_000).padStart(3, "0");
  const values = new Map([
    ["timestamp", () => new Date(madeAt).toISOString().replace(/\D/g, "") + micros()],
    ["random", () => randomDigits(3)],
    ["hostname", () => builtin("node:os").hostname()],
    ["pid", () => String(process.pid)],
    [
      "program",
      () =>
        builtin("node:path")
          .basename(process.argv[1] ?? "node")
          .replace(/\.\w+$/, ""),
    ],
  ]);
  return template.replace(/\{(\w+)\}/g, (all, name: string) => values.get(name)?.().replace(/[:*]/g, "-") ?? all);
}

/** Digits that tell things apart, and keep no secret: loading node:crypto costs as much as all of this file. */
function randomDigits(count: number): string {
  return String(Math.floor(Math.random() * 10 ** count)).padStart(count, "0");
}

interface Builtins {
  "node:async_hooks": typeof import("node:async_hooks");
  "node:fs": typeof Fs;
  "node:net": typeof net;
  "node:os": typeof import("node:os");
  "node:path": typeof import("node:path");
  "node:stream": typeof import("node:stream");
  "node:string_decoder": typeof import("node:string_decoder");
  "node:util": typeof import("node:util");
}

const loaded: { [Name in keyof Builtins]?: Builtins[Name] } = {};

/** Modules that not every logger needs, when one does: to import them takes half as long as all the rest of this file. */
function builtin<Name extends keyof Builtins>(name: Name): Builtins[Name] {
  loaded[name] ??= requireFrom(process.execPath)(name) as Builtins[Name];
  return loaded[name] as Builtins[Name];
}

const types = () => builtin("node:util").types;

/** Own enumerable properties of several values, those of later ones first; where one cannot be read, why. */
function mergeFields(...layers: (object | undefined)[]): Fields | undefined {
  // Without a prototype: a field may be called "__proto__".
  const fields = Object.create(null) as Fields;
  let isEmpty = true;
  for (const layer of layers) {
    if (typeof layer !== "object" || layer === null) continue;
    for (const name of attempt(() => Object.keys(layer), [])) {
      fields[name] = read(layer, name);
      isEmpty = false;
    }
  }
  return isEmpty ? undefined : fields;
}

function read(object: object, key: PropertyKey): unknown {
  try {
    return (object as Record<PropertyKey, unknown>)[key];
  } catch (error) {
    return `[unreadable: ${reasonOf(error)}]`;
  }
}

/** Why something threw, whatever it threw. */
function reasonOf(error: unknown): string {
  return attempt(() => String(error instanceof Error ? error.message : error).slice(0, 200), "unknown reason");
}

function attempt<T, U>(action: () => T, otherwise: U): T | U {
  try {
    return action();
  } catch {
    return otherwise;
  }
}

function isError(value: unknown): value is Error {
  if (typeof value !== "object" || value === null) return false;
  try {
    // Most values are plain objects, of which this is known at once.
    return (
      Object.getPrototypeOf(value) !== Object.prototype && (value instanceof Error || types().isNativeError(value))
    );
  } catch {
    return false;
  }
}

/** Whether the properties of a value are its content. */
function isRecord(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  try {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return true;
    if (Array.isArray(value) || ArrayBuffer.isView(value) || isError(value)) return false;
    if (types().isMap(value) || types().isSet(value) || types().isRegExp(value) || types().isBoxedPrimitive(value))
      return false;
    return typeof (value as { toJSON?: unknown }).toJSON !== "function";
  } catch {
    return false;
  }
}

/** The name of the function that called the method that called `below`. */
function callerName(below: (...args: never[]) => void): string {
  const holder: { stack?: string } = {};
  Error.captureStackTrace?.(holder, below);
  // Line 0 is the header, 1 the method, 2 its caller.
  const line = String(holder.stack).split("\n")[2] ?? "";
  return /^\s*at (?:async )?(?:new )?([^\s(]+) (?:\[as [^\]]+\] )?\(/.exec(line)?.[1] ?? "<anonymous>";
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** What a timer takes; what is no time counts as 0. */
function clampMs(ms: number): number {
  return ms > 0 ? Math.min(ms, MAX_TIMER_MS) : 0;
}

/** At most one text of each kind in REPORT_INTERVAL_MS; the next one tells how many were left out. */
function rateLimited(write: (text: string) => void): (kind: string, text: string) => void {
  const printed = new Map<string, { at: number; skipped: number }>();
  return (kind, text) => {
    const at = performance.now();
    const last = printed.get(kind);
    if (last !== undefined && at - last.at < REPORT_INTERVAL_MS) {
      last.skipped++;
      return;
    }
    printed.set(kind, { at, skipped: 0 });
    write(last?.skipped ? `${text} (and ${last.skipped} more such reports)` : text);
  };
}

function printLoss({ reason, count, events, cause }: Loss, print: (kind: string, text: string) => void): void {
  const what = /^(too|expired|invalid)/.test(reason) ? "rejected" : "dropped";
  print(reason, `${count} log events ${what} (${reason})${cause ? `: ${cause.name}: ${cause.message}` : ""}`);
  if (reason === "unsent") printEvents(events);
}

/** One line of JSON for each event, exact and safe to print. */
function printEvents(events: LogEvent[]): void {
  for (const event of events) writeStderr(`${JSON.stringify(event)}\n`);
}

/** Synchronously, so that it works while the process exits; past the stream, whose errors could end the process. */
function writeStderr(text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0, refusals = 0; at < bytes.length && refusals < 1_000; ) {
    try {
      at += builtin("node:fs").writeSync(2, bytes, at);
    } catch (error) {
      if ((error as AnyError).code !== "EAGAIN") return;
      // The reader of a full pipe needs a moment.
      refusals++;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

function print(level: Level, text: string): void {
  const method = level === "fatal" ? "error" : level === "trace" ? "debug" : level;
  attempt(() => console[method]("%s", printable(text)), undefined);
}

/** All control characters but tab and line feed. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL_CHARACTERS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Text for terminals and files: without escape sequences, its further lines set off from other events. */
function printable(text: string): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return text.replace(CONTROL_CHARACTERS, escaped).replaceAll("\n", "\n  ");
}

/** The loggers that the end of the process concerns. */
const openLoggers = new Set<Core>();

function onProcessEnd(core: Core): void {
  if (openLoggers.size === 0) process.on("beforeExit", onBeforeExit).on("exit", onExit);
  openLoggers.add(core);
  for (const signal of core.signals) {
    if (!process.listeners(signal).includes(onSignal)) process.prependListener(signal, onSignal);
  }
}

function offProcessEnd(core: Core): void {
  openLoggers.delete(core);
  if (openLoggers.size === 0) process.off("beforeExit", onBeforeExit).off("exit", onExit);
  for (const signal of core.signals) {
    if (![...openLoggers].some(({ signals }) => signals.includes(signal))) process.off(signal, onSignal);
  }
}

function onBeforeExit(): void {
  for (const core of openLoggers) core.beforeExit();
}

function onExit(): void {
  for (const core of openLoggers) core.exit();
}

/** Closes all loggers, then lets the signal take its usual effect, unless the program handles it itself. */
function onSignal(signal: NodeJS.Signals): void {
  // Without this listener, the same signal again ends the process at once.
  process.off(signal, onSignal);
  const isHandled = process.listenerCount(signal) > 0;
  void Promise.all([...openLoggers].map((core) => core.close())).then(() => {
    if (!isHandled) process.kill(process.pid, signal);
  });
}

/* ══════════════════════════════════════════════ 14 · Licence ════════════════════════════════════════════════

MIT License

Copyright (c) 2026 the cwlogger authors

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
