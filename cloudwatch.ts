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
A log call makes one text (room 7), or several that fit (8). The queue turns a text into bytes at once, an element of
PutLogEvents' `logEvents` in a page of memory; a batch is a range of waiting events, cut when it is sent (9). The sender
makes one try at a time (10). The spool keeps a file for each page, with the same bytes (11). Results come back as values;
`onError` and `onLoss` are told when the call that caused a report is over.

Calls made to AWS, and the policy they need
  logs:PutLogEvents        always
  logs:CreateLogStream     for the default log stream, or when a put finds the log stream missing
  logs:CreateLogGroup      when that finds the log group missing; not with `createLogGroup: false`
  logs:PutRetentionPolicy  after creating a log group, with `retentionInDays`
  logs:TagResource         while creating a log group, with `tags`

Rooms
  2 imports · 3 limits and pauses · 4 types, options and their defaults · 5 errors and reports · 6 CloudwatchLogger ·
  7 format: what was logged → plain data → text, redaction · 8 size: truncate, split · 9 queue: pages, batches, flush, close ·
  10 sender: the SDK, log streams, errors, pauses, gzip · 11 spool: crash safety · 12 stream: pino, winston, bunyan, pipes ·
  13 utilities: rules of the options, safe reading, printing, the end of the process · 14 licence
*/

// ═══════════════════════════════════════════════ 2 · Imports ════════════════════════════════════════════════

/// <reference types="node" />
import type { AsyncLocalStorage } from "node:async_hooks";
import type { Socket, Server as SocketServer } from "node:net";
import type { Writable } from "node:stream";
import type * as Sdk from "@aws-sdk/client-cloudwatch-logs";

// ═══════════════════════════════════════════════ 3 · Limits ═════════════════════════════════════════════════

/** The levels and their weights, ascending. `"silent"` is a threshold only: nothing passes it. */
export const LEVELS = Object.freeze({ trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60, silent: 70 });

/**
 * The limits of CloudWatch Logs that this logger keeps. Source: the API reference of PutLogEvents, CreateLogGroup,
 * CreateLogStream and PutRetentionPolicy, and the service's quotas page; checked 2026-11-21.
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
  /** PutRetentionPolicy: the values it takes. */
  retentionInDays: Object.freeze([
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
  ]),
  /** CreateLogGroup, CreateLogStream: characters of a name. */
  maxNameLength: 512,
  /** CreateLogGroup: tags, characters of a tag's key and of its value, characters of a KMS key's ARN. */
  maxTags: 50,
  maxTagKeyLength: 128,
  maxTagValueLength: 256,
  maxKmsKeyIdLength: 256,
});

/** Shares of `maxQueueBytes`: above the first, only warn and worse are accepted; below the second there is room again. */
const QUEUE_HEADROOM = 0.8;
const QUEUE_ROOM = 0.5;
/** Size of the pages that waiting events are written into, and how many empty pages are kept for reuse. */
const PAGE_BYTES = 65_536;
const MAX_SPARE_PAGES = 128;
/** More events than this in a page are tiny, of less than 64 bytes each. */
const MANY_EVENTS = PAGE_BYTES / 64;
/** At most this many batches are cut at a time: in flight, or held back by an earlier batch of the same millisecond. */
const MAX_CUT_BATCHES = 64;
/** Longest pauses between tries, before jitter: first and last for transient trouble; for a wrong configuration. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 10_000;
const CONFIGURATION_RETRY_MS = 30_000;
/** Throttling: the slowest pace; how long the pace takes to recover; half of the longest pause while a flush waits. */
const PACE_MAX_MS = 30_000;
const PACE_RECOVERY_MS = 50_000;
const THROTTLED_FLUSH_MS = 300;
/** After a missing log stream, a requested token or a corrected clock, retry at once, at most three times. */
const MAX_REPAIRS = 3;
/** A request without an answer is aborted after this time, and retried. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Failures of a batch in a row until `onError` is told; least time between two reports of a kind. */
const REPORT_AFTER_TRIES = 3;
const REPORT_INTERVAL_MS = 1_000;
/** Smaller requests are not compressed. Gzip is turned off once this many batches got through only without it. */
const GZIP_MIN_BYTES = 1_024;
const MAX_GZIP_REFUSALS = 3;
/** Deeper values become "[nested too deep]". Log calls made by getters nest no deeper than this. */
const MAX_DEPTH = 500;
const MAX_NESTED_CALLS = 4;
/** `beforeExit` flushes at most this often; what is logged after that is printed. */
const MAX_EXIT_FLUSHES = 2;
/** Longest wait for a stderr that nobody reads: while the process exits, and for any other report. */
const STDERR_EXIT_MS = 1_000;
const STDERR_MS = 20;

// ═══════════════════════════════════════════════ 4 · Types ══════════════════════════════════════════════════

/** A level that an event can have. */
export type Level = Exclude<keyof typeof LEVELS, "silent">;

/** The lowest level that is logged; `"silent"` logs nothing. */
export type Threshold = keyof typeof LEVELS;

/** A threshold as environment variables have it: in any case, `warning` for `warn`, `""` for the default. */
export type ThresholdName = Threshold | "warning" | (string & {});

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

/** Why an event was not sent: over `maxEventBytes`; no room; logged after `close()`; left over at `close()` or the end. */
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
  send(command: never, options?: never): unknown;
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
  /** ARN of the KMS key of a log group that this logger creates; up to 256 characters. */
  kmsKeyId?: string | undefined;
  /** Class of a log group that this logger creates. */
  logGroupClass?: "STANDARD" | "INFREQUENT_ACCESS" | "DELIVERY" | "ESSENTIALS" | undefined;
  /** Passed with every PutLogEvents: 2 to 4 `keyAttributes`, up to 10 `attributes`. */
  entity?: { keyAttributes?: Record<string, string>; attributes?: Record<string, string> } | undefined;
  /** The threshold: a level or `silent`, in any case; `warning` is `warn`, `""` the default. @defaultValue `"info"` */
  level?: ThresholdName | undefined;
  /** Fields of every event, or a function that gives them, called once for each event. @defaultValue `{}` */
  fields?: Fields | (() => Fields | undefined) | undefined;
  /**
   * `"json"`, `"text"` (`LEVEL message {"fields":"as JSON"}`), a template of `{timestamp}`, `{level}`, `{message}`,
   * `{caller}` and `{anyField}`, or a function. @defaultValue `"json"`
   */
  format?: "json" | "text" | (string & {}) | ((event: FormatEvent) => string) | undefined;
  /** Names to hide, at any depth; or dotted paths from the top, `*` for one level. @defaultValue `[]` */
  redact?: readonly string[] | undefined;
  /** Also print each event: as it is sent, or as `"text"` for people. @defaultValue `false` */
  console?: boolean | "text" | undefined;
  /** What becomes of an event over `maxEventBytes`. @defaultValue `"error"` */
  overflow?: "error" | "truncate" | "split" | undefined;
  /** Largest event, UTF-8 bytes of its message + 26; 256 to `maxBatchBytes`. @defaultValue `maxBatchBytes` */
  maxEventBytes?: number | undefined;
  /** Largest batch, bytes as the service counts them; 256 to 1,048,576. @defaultValue `1_048_576` */
  maxBatchBytes?: number | undefined;
  /** Largest batch, events; 1 to 10,000. @defaultValue `10_000` */
  maxBatchEvents?: number | undefined;
  /** Longest time that an event waits for its batch to fill, ms; up to 30 s where AWS throttles. @defaultValue `1_000` */
  flushIntervalMs?: number | undefined;
  /** PutLogEvents at once, 1 to 16; more than one only while full batches are waiting. @defaultValue `4` */
  maxInFlight?: number | undefined;
  /** Bound on events without an outcome, message bytes + 26 each; `maxBatchBytes` or more. @defaultValue `67_108_864` */
  maxQueueBytes?: number | undefined;
  /** Gzip requests where that makes them smaller, until an endpoint refuses it. @defaultValue `false` */
  compress?: boolean | undefined;
  /**
   * Crash safety: an event is in a file of this directory before its call returns, until it is acknowledged. What a dead
   * process has left is sent by the next logger of the same log group. The directory is made for its owner only, and
   * resolved at construction; loggers and processes may share it.
   */
  spoolDirectory?: string | undefined;
  /** What `close()` and the exit of the process may take at most, ms; 0 or more. @defaultValue `8_000` */
  closeTimeoutMs?: number | undefined;
  /** Signals on which all loggers deliver what is waiting before the signal takes its effect. @defaultValue `[]` */
  closeOnSignals?: readonly NodeJS.Signals[] | undefined;
  /** Hears of trouble. @defaultValue one line on stderr, rate-limited */
  onError?: ((error: CloudwatchLoggerError) => void) | undefined;
  /** Hears of events that will not be delivered. @defaultValue one line on stderr, rate-limited */
  onLoss?: ((loss: Loss) => void) | undefined;
}

const DEFAULTS = Object.freeze({
  logStreamName: "{timestamp}{random}",
  createLogGroup: true,
  level: "info",
  format: "json" as Exclude<CloudwatchLoggerOptions["format"], undefined>,
  redact: [] as readonly string[],
  console: false as boolean | "text",
  overflow: "error" as "error" | "truncate" | "split",
  maxBatchBytes: LIMITS.maxBatchBytes as number,
  maxBatchEvents: LIMITS.maxBatchEvents as number,
  flushIntervalMs: 1_000 as number,
  maxInFlight: 4 as number,
  maxQueueBytes: 67_108_864 as number,
  compress: false,
  closeTimeoutMs: 8_000 as number,
  closeOnSignals: [] as readonly NodeJS.Signals[],
});

/** The options after validation, defaults in place. */
type Settings = Omit<CloudwatchLoggerOptions, keyof typeof DEFAULTS> & Defaults & { maxEventBytes: number };
type Defaults = { -readonly [Name in keyof typeof DEFAULTS]: (typeof DEFAULTS)[Name] };

// ══════════════════════════════════════════ 5 · Errors and reports ══════════════════════════════════════════

/**
 * What kind of trouble a {@link CloudwatchLoggerError} tells of:
 *
 * - `ERR_CONFIGURATION`: region, credentials, permissions or a missing log group; events wait, one report for each change
 * - `ERR_TRANSIENT`: CloudWatch Logs cannot be reached or throttles, for several tries now; events wait
 * - `ERR_SDK_MISSING`: @aws-sdk/client-cloudwatch-logs is not installed, or cannot be loaded; events wait
 * - `ERR_LOG_GROUP`: tags or retention policy were refused; delivery goes on
 * - `ERR_ENTITY`: the entity was refused; the events were stored
 * - `ERR_FORMAT`, `ERR_FIELDS`: the format or `fields` function failed; events are formatted as JSON, or go without
 * - `ERR_SPOOL`: the spool directory cannot be used, or a file in it; the logger goes on without it
 */
export type ErrorCode =
  | "ERR_CONFIGURATION"
  | "ERR_TRANSIENT"
  | "ERR_SDK_MISSING"
  | "ERR_LOG_GROUP"
  | "ERR_ENTITY"
  | "ERR_FORMAT"
  | "ERR_FIELDS"
  | "ERR_SPOOL";

/** Trouble that the logger deals with by itself. `cause` has name, message and status of the error, nothing of its request. */
export class CloudwatchLoggerError extends Error {
  override readonly name = "CloudwatchLoggerError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, cause?: Error) {
    super(message);
    this.code = code;
    if (cause !== undefined) Object.defineProperty(this, "cause", { value: cause, configurable: true, writable: true });
  }
}

/** Calls `onError` and `onLoss`, never inside the call that caused the report. Ignores what they throw or reject with. */
class Reporter {
  readonly #onError: (error: CloudwatchLoggerError) => unknown;
  readonly #onLoss: (loss: Loss) => unknown;
  readonly #waiting: (() => unknown)[] = [];
  /** Losses of which only numbers are told, gathered until the timer, `flush`, `close` or the exit reports them. */
  readonly #gathered = new Map<Loss["reason"], Loss>();
  readonly #tellsEvents: boolean;
  #timer: Stop | undefined;
  #isTelling = false;
  /** Set while code of ours runs after `captureConsole()`: what that prints must not become an event. */
  #quiet: AsyncLocalStorage<true> | undefined;

  constructor({ onError, onLoss }: Settings) {
    const write = (text: string) => void writeStderr(`cwlogger: ${printable(text)}\n`, STDERR_MS);
    const told = new Set<ErrorCode>();
    const writeError = ({ code, message }: CloudwatchLoggerError) => {
      if (told.has(code)) return;
      told.add(code);
      startTimer(() => told.delete(code), REPORT_INTERVAL_MS);
      write(message);
    };
    this.#onError = onError ?? writeError;
    this.#onLoss = onLoss ?? ((loss) => write(describeLoss(loss)));
    this.#tellsEvents = onLoss !== undefined;
  }

  error(code: ErrorCode, message: string, cause?: Error): void {
    this.#tell(() => this.#onError(new CloudwatchLoggerError(code, message, cause)));
  }

  loss(reason: Loss["reason"], events: LogEvent[], cause?: Error): void {
    if (events.length === 0) return;
    const times = events.map(({ timestamp }) => timestamp).sort((a, b) => a - b);
    const [from, to] = [times[0] as number, times[times.length - 1] as number];
    const loss: Loss = { reason, count: events.length, events, from, to, ...(cause && { cause }) };
    if (this.#tellsEvents) this.#tell(() => this.#onLoss(loss));
    else this.gather({ ...loss, events: [] });
  }

  gather(loss: Loss): void {
    this.#gathered.set(loss.reason, joined(this.#gathered.get(loss.reason), loss));
    this.#timer ??= startTimer(() => this.tellNow(), REPORT_INTERVAL_MS);
  }

  /** Reports everything that is waiting, gathered losses included. What the callbacks cause waits for the next call. */
  tellNow(): void {
    // An onLoss that logs at the exit would call itself.
    if (this.#isTelling) return;
    this.#timer?.();
    this.#timer = undefined;
    for (const loss of this.#gathered.values()) this.#waiting.push(() => this.#onLoss(loss));
    this.#gathered.clear();
    this.#tellWaiting();
  }

  /** From now on `isPrinting` tells whether the logger itself is printing. */
  watchPrinting(): void {
    this.#quiet ??= new (process.getBuiltinModule("node:async_hooks").AsyncLocalStorage)();
  }

  get isPrinting(): boolean {
    return this.#quiet?.getStore() === true;
  }

  quietly<T>(action: () => T): T {
    return this.#quiet === undefined ? action() : this.#quiet.run(true, action);
  }

  #tell(report: () => unknown): void {
    if (this.#waiting.push(report) === 1) void Promise.resolve().then(() => this.#tellWaiting());
  }

  #tellWaiting(): void {
    this.#isTelling = true;
    try {
      for (const report of this.#waiting.splice(0)) ignore(attempt(() => this.quietly(report), undefined));
    } finally {
      this.#isTelling = false;
    }
  }
}

/** Two losses for one reason as one. */
function joined(a: Loss | undefined, b: Loss): Loss {
  if (a === undefined) return b;
  return { ...b, count: a.count + b.count, from: Math.min(a.from, b.from), to: Math.max(a.to, b.to) };
}

// ═══════════════════════════════════════════ 6 · CloudwatchLogger ═══════════════════════════════════════════

/**
 * Sends a program's logs to one log stream of Amazon CloudWatch Logs.
 *
 * - A log call never waits for the network.
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
  #fields: Fields | undefined;
  /** Weight of the threshold; a child without one follows its parent. */
  #threshold: number | undefined;
  /** Fields of the `withFields` callbacks that are running now. */
  #scope: AsyncLocalStorage<Fields> | undefined;

  /**
   * @param logGroupName 1 to 512 characters of `. _ - / # A-Z a-z 0-9`; or `null`: no CloudWatch, events are printed.
   * @throws {TypeError} `logGroupName` is undefined; an option is unknown, of the wrong type, or excluded by another.
   * @throws {RangeError} A name, number or word is none of those allowed.
   */
  constructor(logGroupName: string | null, options: CloudwatchLoggerOptions = {}) {
    this.#parent = (options as { [PARENT]?: CloudwatchLogger } | null)?.[PARENT];
    if (this.#parent !== undefined) this.#core = this.#parent.#core;
    else {
      const settings = validate(logGroupName, options);
      this.#core = new Core(logGroupName, settings);
      this.#threshold = weightOf(settings.level);
    }
    // They are handed over as callbacks: promise.catch(logger.error).
    const methods = ["trace", "debug", "info", "warn", "error", "fatal", "log"] as const;
    for (const method of methods) this[method] = this[method].bind(this) as never;
  }

  /** The log stream in use; with `{date}`, that of the present day. */
  get logStreamName(): string {
    return this.#core.queue.logStreamName;
  }

  /** The threshold. @throws {RangeError} on setting what is no level. */
  get level(): Threshold {
    const weight = this.#weight();
    return (Object.keys(LEVELS) as Threshold[]).find((level) => LEVELS[level] === weight) as Threshold;
  }

  set level(level: ThresholdName | undefined) {
    if (level !== undefined) check("level", level);
    this.#threshold = weightOf(level);
  }

  /** Whether a call at `level` is logged; an unknown level counts as `info`. */
  isLevelEnabled(level: ThresholdName): boolean {
    return LEVELS[levelNamed(level) ?? "info"] >= this.#weight();
  }

  trace(message?: unknown, ...more: unknown[]): void {
    this.#log("trace", message, more);
  }

  debug(message?: unknown, ...more: unknown[]): void {
    this.#log("debug", message, more);
  }

  /**
   * Logs an event; so do `trace`, `debug`, `warn`, `error` and `fatal`, which also sends at once.
   *
   * @param message A string, an Error, an object (its properties become fields), or any other value.
   * @param more Fields; after an object or an Error also a string, the message, as pino has it. Anything else is read as
   * `console.log` reads it.
   * @throws {RangeError} with `code: "ERR_OVERSIZE"`: the event is over `maxEventBytes` and `overflow` is `"error"`.
   * @example
   * ```ts
   * logger.info("order placed", { orderId: 17 });
   * logger.error(new Error("card declined"), { orderId: 17 });
   * ```
   */
  info(message?: unknown, ...more: unknown[]): void {
    this.#log("info", message, more);
  }

  warn(message?: unknown, ...more: unknown[]): void {
    this.#log("warn", message, more);
  }

  error(message?: unknown, ...more: unknown[]): void {
    this.#log("error", message, more);
  }

  fatal(message?: unknown, ...more: unknown[]): void {
    this.#log("fatal", message, more);
  }

  /** `log(level, message, …)`, or `log({ level, message, … })`. Where the first value is no level, the same as `info`. */
  log(first?: unknown, ...rest: unknown[]): void {
    const level = rest.length > 0 ? levelNamed(first) : undefined;
    const { level: name, ...own }: Fields = level === undefined && isRecord(first) ? fieldsOf(first) : {};
    const inside = levelNamed(name);
    if (level !== undefined) this.#log(level, rest[0], rest.slice(1));
    else this.#log(inside ?? "info", inside === undefined ? first : own, rest);
  }

  /** A logger with more fields and, if given, a threshold of its own; same queue, log stream and lifecycle. */
  child(fields?: object, options?: { level?: ThresholdName | undefined }): CloudwatchLogger {
    const level = isObject(options) ? read(options, "level") : undefined;
    const child = new CloudwatchLogger(null, { [PARENT]: this } as object);
    child.#fields = fieldsOf(this.#fields, objectOf(fields));
    if (level !== undefined) child.#threshold = weightOf(level);
    return child;
  }

  /**
   * Runs a callback in which every event of this logger and its children has more fields: in what it awaits and starts,
   * too. Returns what the callback returns.
   */
  withFields<T>(fields: object, callback: () => T): T {
    this.#scope ??= new (process.getBuiltinModule("node:async_hooks").AsyncLocalStorage)();
    return this.#scope.run(fieldsOf(this.#scope.getStore(), objectOf(fields)), callback);
  }

  /** Makes events of `console.debug/log/info/warn/error` as well; they still print. Returns the function that undoes it. */
  captureConsole(): () => void {
    let isActive = true;
    this.#core.reporter.watchPrinting();
    const undo = (["debug", "log", "info", "warn", "error"] as const).map((method) => {
      const level = method === "log" ? "info" : method;
      const original = console[method];
      const captured = (...values: unknown[]) => {
        original.apply(console, values);
        if (isActive && this.isLevelEnabled(level)) this.#core.capture(level, values, this.#context());
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
   * the format of this logger; the host decides about levels. `end()` waits for delivery, `closeTimeoutMs` at most, and
   * leaves the logger open. It never emits `'error'`.
   */
  stream(): Writable {
    const finish = () => this.#core.flush();
    return new HostStream(this.#core, () => this.#context(), finish, false).stream;
  }

  /** Counts so far. `logged === delivered + rejected + dropped + pending`, at every moment. */
  stats(): Stats {
    return this.#core.queue.stats();
  }

  /**
   * Sends what is waiting. Resolves when everything logged before the call has an outcome, or after `timeoutMs` (default:
   * `closeTimeoutMs`; `Infinity`: however long it takes). Never rejects.
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

  #weight(): number {
    return this.#threshold ?? (this.#parent as CloudwatchLogger).#weight();
  }

  #log(level: Level, message: unknown, more: unknown[]): void {
    if (LEVELS[level] < this.#weight()) return;
    const caller = this.#core.wantsCaller ? callerName(this.#log) : "";
    this.#core.take("call", level, Date.now(), message, more, this.#context(), caller);
  }

  /** The fields of this logger, then those of the callbacks it runs in, outer ones first. */
  #context(): Fields | undefined {
    const scoped = this.#scoped();
    return scoped === undefined ? this.#fields : fieldsOf(this.#fields, scoped);
  }

  #scoped(): Fields | undefined {
    const outer = this.#parent === undefined ? undefined : this.#parent.#scoped();
    const own = this.#scope?.getStore();
    return outer === undefined || own === undefined ? (outer ?? own) : fieldsOf(outer, own);
  }
}

/** How `child()` passes the parent to the constructor. */
const PARENT = Symbol("parent");

/**
 * The stream of a logger of its own, which `end()` closes: a target of `pino.transport`, whose own options are ignored.
 *
 * @throws {TypeError | RangeError} as the constructor of {@link CloudwatchLogger} does.
 * @example
 * ```ts
 * const log = pino(pino.transport({ target: "cwlogger", options: { logGroupName: "my-app" } }));
 * ```
 */
export default function transport(options: { logGroupName: string | null } & CloudwatchLoggerOptions): Writable {
  const known = Object.entries(options).filter(([name]) => hasOwn(RULES, name));
  const settings = validate(options.logGroupName, Object.fromEntries(known));
  // pino kills its worker after 10 s.
  settings.closeTimeoutMs = Math.min(settings.closeTimeoutMs, DEFAULTS.closeTimeoutMs);
  const core = new Core(options.logGroupName, settings);
  const finish = () => core.close();
  return new HostStream(core, () => undefined, finish, true).stream;
}

/** Where an event comes from. Only a `call` may throw; what came from the console is printed already. */
type Origin = "call" | "console" | "host" | "line" | "notice";

/** What a logger and its children share. Takes an event from the log call to the queue. */
class Core {
  readonly settings: Settings;
  readonly queue: Queue;
  readonly reporter: Reporter;
  readonly signals: readonly NodeJS.Signals[];
  readonly wantsCaller: boolean;
  /** Streams that have the beginning of a line. */
  readonly openLines = new Set<HostStream>();
  readonly #isPrinter: boolean;
  readonly #redaction: Redaction | undefined;
  /** `undefined` for JSON. */
  readonly #format: Format | undefined;
  /** How many log calls are running: getters, `toJSON` and functions of the options may log, too. */
  #nested = 0;
  /** Failures that have been reported; each kind is reported once. */
  readonly #failed = new Set<ErrorCode>();
  /** What was dropped because the queue was full; and what waits for room, then logs that. */
  #gap: Loss | undefined;
  #gapNotice: Promise<void> | undefined;
  #closing: Promise<Stats> | undefined;
  #exitFlushes = 0;
  #isExiting = false;

  constructor(logGroupName: string | null, settings: Settings) {
    const { format, redact } = settings;
    this.reporter = new Reporter(settings);
    this.signals = [...settings.closeOnSignals];
    this.wantsCaller = typeof format === "string" && format.includes("{caller}");
    this.settings = settings;
    this.#isPrinter = logGroupName === null;
    this.#redaction = redact.length > 0 ? compileRedaction(redact) : undefined;
    this.#format = compileFormat(format);
    this.queue = new Queue(logGroupName, settings, this.reporter);
    if (!this.#isPrinter) watchProcess(this);
  }

  /** Takes what the program prints on the console. What the logger or a callback prints is left out. */
  capture(level: Level, values: unknown[], context: Fields | undefined): void {
    if (this.#nested > 0 || this.reporter.isPrinting) return;
    const [message = values.length === 0 ? "" : undefined] = values;
    this.take("console", level, Date.now(), message, values.slice(1), context);
  }

  /** Counts what is logged after `close()`, or written to a stream after `end()`. */
  dropClosed(timestamp = Date.now()): void {
    this.queue.drop("closed", 1, timestamp);
    // The process may end before this is reported.
    if (this.#isExiting) this.reporter.tellNow();
    else if (!openLoggers.has(this)) {
      watchProcess(this);
      startTimer(() => unwatchProcess(this), 2 * REPORT_INTERVAL_MS);
    }
  }

  /** A function of the options, or of a host, has failed: told once for each kind. */
  reportFailure(code: ErrorCode, what: string, failure: unknown): void {
    if (!this.#failed.has(code)) this.reporter.error(code, `${what}: ${reasonOf(failure)}`);
    this.#failed.add(code);
  }

  async flush(timeoutMs = this.settings.closeTimeoutMs, isEnding = false): Promise<Stats> {
    if (this.#isLeaving && !isEnding) return this.queue.stats();
    let stop: Stop = () => {};
    const passed = new Promise<void>((resolve) => {
      // NaN and the like count as 0.
      if (timeoutMs !== Number.POSITIVE_INFINITY) stop = startTimer(resolve, timeoutMs > 0 ? timeoutMs : 0);
    });
    const gapNotice = this.#gapNotice;
    await this.queue.flushed(passed, isEnding);
    // There is room now for the notice of a gap, which counts as logged before.
    await Promise.race([gapNotice, passed]);
    if (gapNotice !== undefined) await this.queue.flushed(passed, isEnding);
    stop();
    this.reporter.tellNow();
    return this.queue.stats();
  }

  close(timeoutMs?: number): Promise<Stats> {
    // While the logger still takes events: the callbacks may log.
    this.reporter.tellNow();
    for (const stream of this.openLines) stream.endLine();
    this.queue.startClosing();
    this.#closing ??= this.flush(timeoutMs, true).then(async () => {
      const events = this.#end();
      // No spool files are moved after that, so that the next logger can find them.
      await this.queue.recovery;
      if (this.settings.onLoss === undefined) printEvents(events, STDERR_EXIT_MS);
      unwatchProcess(this);
      return this.queue.stats();
    });
    return this.#closing;
  }

  /** The event loop is empty: deliver what is waiting; but not for ever, where a handler logs each time. */
  beforeExit(): void {
    // Other listeners may log, so this runs after them.
    void Promise.resolve().then(async () => {
      const { pending, logged } = this.queue.stats();
      if (pending === 0 || this.#isLeaving) return;
      this.#exitFlushes++;
      const after = await this.flush(undefined, true);
      // Another try would fail as well.
      if (after.logged - after.pending < logged) this.#exitFlushes = MAX_EXIT_FLUSHES;
    });
  }

  /** From now on handlers of `beforeExit` do not keep the process alive by what they log or flush. */
  get #isLeaving(): boolean {
    return this.#exitFlushes >= MAX_EXIT_FLUSHES;
  }

  /** The process ends in this tick: print what is undelivered. Returns the rest of the time for printing, ms. */
  exit(printMs: number): number {
    for (const stream of this.openLines) stream.endLine();
    this.#isExiting = true;
    return printEvents(this.#end(), printMs);
  }

  #end(): LogEvent[] {
    const { events, cause } = this.queue.close();
    this.reporter.loss("unsent", events, cause);
    this.reporter.tellNow();
    return events;
  }

  /** format → fit → queue. */
  take(
    origin: Origin,
    level: Level,
    timestamp: number,
    message: unknown,
    more: unknown[] = [],
    context?: Fields,
    caller = "",
  ): void {
    const { queue } = this;
    if (!queue.takes(origin === "notice") && !this.isPastExit) {
      this.dropClosed(timestamp);
      return;
    }
    let fit: Fit;
    this.#nested++;
    try {
      const draft: Draft = { origin, caller, timestamp, level, message: LEFT_OUT, error: undefined, fields: {} };
      const written = this.#write(draft, message, more, context);
      if (this.#isPrinter || this.settings.console !== false) this.#print(draft, written);
      if (this.#isPrinter) {
        queue.countPrinted();
        return;
      }
      fit = fitted(written, this.settings, queue.roomBytes(level));
    } catch (error) {
      if (error !== TOO_LARGE) throw error;
      fit = tooLarge(this.settings);
    } finally {
      this.#nested--;
    }
    // A getter may have closed the logger.
    if (!queue.takes(origin === "notice") && !this.isPastExit) this.dropClosed(timestamp);
    else if (typeof fit === "string") {
      if (!queue.offer(level, timestamp, fit)) this.#refuse(origin, 1, timestamp);
    } else if ("texts" in fit) {
      if (!queue.offerAll(level, timestamp, fit.texts)) this.#refuse(origin, fit.texts.length, timestamp);
    } else if ("count" in fit) this.#refuse(origin, fit.count, timestamp);
    else this.#dropOversize(origin, timestamp, fit);
    if (this.isPastExit) this.exit(STDERR_MS);
    if (level === "fatal" && !this.#isLeaving) queue.sendSoon();
  }

  /** The event as text; in JSON as an object that is not stringified yet. */
  #write(draft: Draft, message: unknown, more: unknown[], context: Fields | undefined): Written {
    if (draft.origin === "line") {
      const line = message as string;
      return wellFormed(this.#redaction === undefined ? line : redactedLine(line, this.#redaction));
    }
    const walk = this.#walk();
    if (this.#nested > MAX_NESTED_CALLS) return toJson(draft, walk);
    draft.message = undefined;
    const own = readCall(draft, message, more, walk);
    draft.fields = fieldsOf(this.#givenFields(), context, own);
    liftError(draft, walk);
    if (draft.message !== undefined && walk.hides("message")) draft.message = REDACTED;
    if (this.#format === undefined) return toJson(draft, walk);
    try {
      const text = this.#format(draft, walk);
      if (typeof text === "string") return wellFormed(text);
      ignore(text);
      throw new TypeError(`it returned ${typeof text}`);
    } catch (failure) {
      if (failure === TOO_LARGE || isStackEnd()) throw failure;
      this.reportFailure("ERR_FORMAT", "The format function failed, its events are formatted as JSON", failure);
      return toJson(draft, this.#walk());
    }
  }

  /** Prints an event as it is sent, or for people. What came from the console is there already. */
  #print(draft: Draft, written: Written): void {
    if (draft.origin === "console") return;
    const isForPeople = this.settings.console === "text" && draft.origin !== "line";
    const text = isForPeople ? String(PEOPLES_FORMAT(draft, this.#walk())) : eventText(written);
    print(draft.level, text, this.settings.console === "text");
  }

  /** A copier with this logger's budget. Part of a large value is useful only where it is truncated or printed. */
  #walk(): Walk {
    const { overflow, maxEventBytes, maxQueueBytes } = this.settings;
    const maxBytes = overflow === "split" || this.#isPrinter ? maxQueueBytes : maxEventBytes;
    return new Walk(maxBytes, overflow === "truncate" || this.#isPrinter, this.#redaction);
  }

  /** The fields of the options; a function is called once for each event. */
  #givenFields(): object | undefined {
    const { fields } = this.settings;
    if (typeof fields !== "function") return fields;
    try {
      const given: unknown = fields();
      if (isRecord(given)) return given;
      ignore(given);
    } catch (failure) {
      this.reportFailure("ERR_FIELDS", "The fields function failed, its events go without", failure);
    }
    return undefined;
  }

  /** Whether a listener of `exit` is running that comes after ours. */
  get isPastExit(): boolean {
    return this.#isExiting && this.#closing === undefined;
  }

  #dropOversize(origin: Origin, timestamp: number, { bytes, text }: { bytes: number; text: string }): void {
    this.queue.drop("oversize", 1, timestamp);
    const words = `Log event too large: ${bytes} bytes exceeds "maxEventBytes" of ${this.settings.maxEventBytes}`;
    if (origin === "call") throw Object.assign(new RangeError(words), { code: "ERR_OVERSIZE" });
    this.reporter.loss("oversize", [{ timestamp, message: text }]);
  }

  /** Drops events because the queue is full. */
  #refuse(origin: Origin, count: number, timestamp: number): void {
    this.queue.drop("queueFull", count, timestamp);
    this.#gap = joined(this.#gap, { reason: "queueFull", count, events: [], from: timestamp, to: timestamp });
    // A notice that is too large itself would be refused again and again.
    if (origin !== "notice") this.#gapNotice ??= this.#tellGap();
  }

  /** Logs one WARN event that says how many events the log stream is missing. */
  async #tellGap(): Promise<void> {
    await this.queue.room(0);
    const gap = this.#gap as Loss;
    this.#gap = undefined;
    this.#gapNotice = undefined;
    if (!this.queue.takes(true)) return;
    const [from, to] = [new Date(gap.from).toISOString(), new Date(gap.to).toISOString()];
    const message = `${counted(gap.count)} dropped because the queue was full, from ${from} to ${to}`;
    this.take("notice", "warn", Date.now(), message, [{ dropped: gap.count, reason: gap.reason, from, to }]);
  }
}

// ═══════════════════════════════════════════════ 7 · Format ═════════════════════════════════════════════════

/** What a log call says. `fields` is our own copy. */
interface Draft {
  origin: Origin;
  caller: string;
  timestamp: number;
  level: Level;
  message: string | undefined;
  error: unknown;
  fields: Fields;
}

/** A JSON event, made plain data. */
type JsonEvent = Pick<Draft, "message" | "error" | "fields"> & { level: string };

/** A formatted event; a JSON event before it becomes a text. */
type Written = string | JsonEvent;

type Format = (draft: Draft, walk: Walk) => unknown;

/** Levels as they are written in events. */
const LEVEL_NAMES = Object.fromEntries(Object.keys(LEVELS).map((level) => [level, level.toUpperCase()])) as Record<
  Level,
  string
>;
const LEFT_OUT = "[left out: logged while other events were being formatted]";
const REDACTED = "[redacted]";
/** Thrown when a value is larger than anything that could be sent. */
const TOO_LARGE = new RangeError("larger than the queue");

// Not Object.hasOwn, which older libs do not have.
const { hasOwnProperty: owns } = Object.prototype;
const hasOwn = (object: object, name: PropertyKey): boolean => owns.call(object, name);

/** Sorts out the arguments of a log call, whatever their order. Returns the fields among them. */
function readCall(draft: Draft, message: unknown, more: unknown[], walk: Walk): object | undefined {
  // `undefined` at the end is no argument.
  const count = more.length > 0 && more[more.length - 1] === undefined ? more.length - 1 : more.length;
  if (count === 0) return readValue(draft, message, walk);
  const second = more[0];
  if (count === 1 && draft.origin !== "console") {
    if (isRecord(second)) {
      const own = readValue(draft, message, walk);
      if (own === undefined) return second;
      const fields = fieldsOf(second);
      return { ...renamed(own, Object.keys(fields)), ...fields };
    }
    if (isError(second)) {
      const own = readValue(draft, message, walk);
      if (draft.error !== undefined) return { ...renamed(own ?? {}, ["error"]), error: second };
      draft.error = second;
      return own;
    }
    if (typeof second === "string" && (isRecord(message) || isError(message))) {
      draft.message = second;
      if (isRecord(message)) return message;
      draft.error = message;
      return undefined;
    }
  }
  const values = [message, ...more.slice(0, count)];
  draft.message = printed(values, walk);
  draft.error = values.find(isError);
  return undefined;
}

/** Adds underscores to the names of fields that are taken. */
function renamed(fields: Fields, taken: Iterable<string>): Fields {
  const used = new Set(taken);
  const entries = Object.entries(fields).map(([name, value]) => {
    let free = name;
    while (used.has(free) || (free !== name && hasOwn(fields, free))) free += "_";
    used.add(free);
    return [free, value];
  });
  return Object.fromEntries(entries);
}

function readValue(draft: Draft, value: unknown, walk: Walk): Fields | undefined {
  if (isRecord(value)) {
    const { message, ...own } = fieldsOf(value);
    if (message !== undefined) readMessage(draft, message, walk);
    return own;
  }
  readMessage(draft, value, walk);
  return undefined;
}

function readMessage(draft: Draft, value: unknown, walk: Walk): void {
  if (typeof value === "string") draft.message = value;
  else if (!isError(value)) draft.message = toText(value, walk);
  else {
    draft.error = value;
    draft.message = toText(read(value, "message"), walk);
  }
}

/** An Error in the field `error` or `err` becomes the event's, if it has none. */
function liftError(draft: Draft, walk: Walk): void {
  const { error, fields } = draft;
  if (error !== undefined || (fields["error"] === undefined && fields["err"] === undefined)) return;
  const name = ["error", "err"].find((each) => isError(fields[each]) && !walk.hides(each));
  // A rest, as objects from which something was deleted are slow.
  if (name !== undefined) ({ [name]: draft.error, ...draft.fields } = fields);
}

/** As `console.log` prints values. */
function printed(values: unknown[], walk: Walk): string {
  const readable =
    walk.redaction === undefined
      ? values
      : values.map((value) => walk.forPrinting().copy(value, isError(value) ? "error" : undefined));
  const text = attempt(() => process.getBuiltinModule("node:util").format(...readable), undefined);
  return text ?? values.map((value) => toText(value, walk)).join(" ");
}

/** Any value as the text of a message. */
function toText(value: unknown, walk: Walk): string {
  if (typeof value === "string") return value;
  if (typeof value === "function") return attempt(() => `[Function: ${value.name}]`, "[Function]");
  if (!isObject(value)) return String(value);
  if (isBytes(value)) {
    walk.expect(attempt(() => value.byteLength, 0));
    return attempt(() => asBuffer(value).toString(), "[unreadable]");
  }
  const plain = walk.member(value, "message");
  const text = typeof plain === "string" ? plain : stringify(plain);
  // It has no properties to copy, but inspect() may show something.
  return text === "{}" && walk.redaction === undefined
    ? attempt(() => process.getBuiltinModule("node:util").inspect(value), text)
    : text;
}

/** JSON of plain data. Throws TOO_LARGE where that exceeds the engine's longest string. */
function stringify(plain: unknown): string {
  try {
    return JSON.stringify(plain) ?? "null";
  } catch (error) {
    throw isStackEnd() ? error : TOO_LARGE;
  }
}

function toJson({ level, message, error, fields }: Draft, walk: Walk): JsonEvent {
  const plainError = error === undefined ? undefined : walk.member(error, "error");
  const plain = walk.plain(fields);
  const isTaken =
    "level" in plain || "message" in plain || "error" in plain || "part" in plain || "truncatedBytes" in plain;
  const own = isTaken ? renamed(plain, ["level", "message", "error", "part", "truncatedBytes"]) : plain;
  return { level: LEVEL_NAMES[level], message, error: plainError, fields: own };
}

/** CloudWatch Logs discovers the first 200 fields of an event, so the error goes before the program's own. */
function jsonText({ level, message, error, fields }: JsonEvent): string {
  // The engine moves names like "404" to the front, so such fields are written separately. All of them may be undefined.
  for (const name in fields) {
    const rest = name.charCodeAt(0) > 0x39 ? "{}" : stringify(fields);
    if (rest !== "{}") return `${stringify({ level, message, error }).slice(0, -1)},${rest.slice(1)}`;
    break;
  }
  return stringify(error === undefined ? { level, message, ...fields } : { level, message, error, ...fields });
}

/** How events are written; `undefined` for JSON. */
function compileFormat(format: Settings["format"]): Format | undefined {
  if (format === "json") return undefined;
  if (typeof format === "string") return templateFormat(format === "text" ? "{level} {message}" : format);
  return ({ timestamp, level, message = "", error, fields }, walk) => {
    const isOpen = walk.redaction === undefined;
    return format({
      timestamp,
      level,
      message,
      // Not copied: the function may want a Date.
      fields: isOpen ? { ...fields } : walk.plain({ ...fields }),
      ...(error !== undefined && { error: isOpen ? error : walk.member(error, "error") }),
    });
  };
}

/** How people read events on a console. */
const TEXT_FORMAT = templateFormat("{level} {message}");
const PEOPLES_FORMAT: Format = (draft, walk) => `${clockTime(draft.timestamp)} ${TEXT_FORMAT(draft, walk)}`;

/** A template without `{message}` is a prefix; fields that it does not name follow as JSON. */
function templateFormat(template: string): Format {
  // Every second piece is the name of a placeholder.
  const pieces = (template.includes("{message}") ? template : `${template}{message}`).split(/\{(\w+)\}/);
  return (draft, walk) => {
    const { timestamp, level } = draft;
    const fields = walk.plain(draft.fields);
    const rest = { ...fields };
    const fill = (name: string): string => {
      if (name === "timestamp") return new Date(timestamp).toISOString();
      if (name === "level") return LEVEL_NAMES[level];
      if (name === "caller") return draft.caller;
      if (name === "message") return messageWithError(draft, walk);
      delete rest[name];
      const value = (hasOwn(fields, name) ? fields[name] : undefined) ?? "";
      return typeof value === "string" ? value : stringify(value);
    };
    const text = pieces.map((piece, index) => (index % 2 === 0 ? piece : fill(piece))).join("");
    const others = stringify(rest);
    return others === "{}" ? text : `${text} ${others}`;
  };
}

/** A message with its Error: the stack, then what the stack does not show, such as causes and own fields. */
function messageWithError({ message: said = "", error }: Draft, walk: Walk): string {
  if (error === undefined) return said;
  const plain = walk.member(error, "error");
  if (!isObject(plain)) return `${said} ${String(plain)}`;
  const { name, message: own, stack, ...rest } = plain as Fields;
  const trace = typeof stack === "string" ? stack : `${toText(name, walk)}: ${toText(own, walk)}`;
  const isTold = said === "" || (said === own && trace.includes(said));
  const text = isTold ? trace : `${said} ${trace}`;
  return Object.keys(rest).length === 0 ? text : `${text} ${stringify(rest)}`;
}

/** Path to a value: the object, its name in its parent, and the parent's path. */
interface Place {
  value: object;
  name: string | undefined;
  above: Place | undefined;
}

/** Whether a property of the value at `place` must be hidden. */
type Redaction = (name: string, place: Place | undefined) => boolean;

/** What `redact` names: properties at any depth, and paths from the top. */
function compileRedaction(redact: readonly string[]): Redaction {
  const given = redact.map((path) => path.replace(/\[(\w+|\*)\]/g, ".$1").split("."));
  // An Error in the field err becomes error.
  const lifted = given.filter(([first, second]) => first === "err" && second !== undefined);
  const all = [...given, ...lifted.map(([, ...rest]) => ["error", ...rest])];
  const names = new Set(all.filter(({ length }) => length === 1).map(([name]) => name));
  const paths = all.filter(({ length }) => length > 1);
  return (name, place) => {
    if (names.has(name)) return true;
    const path = [name];
    for (let at = place; at !== undefined && paths.length > 0; at = at.above)
      if (at.name !== undefined) path.unshift(at.name);
    const isHidden = (steps: string[]) =>
      steps.length === path.length && steps.every((step, index) => step === "*" || step === path[index]);
    return paths.some(isHidden);
  };
}

/** Redacts a line that a host has written, if it is JSON. Returns it unchanged where there is nothing to hide. */
function redactedLine(line: string, redaction: Redaction): string {
  const walk = new Walk(Number.POSITIVE_INFINITY, false, redaction, Number.POSITIVE_INFINITY);
  try {
    const plain = walk.copy(attempt(() => JSON.parse(line) as unknown, undefined));
    return walk.hasHidden ? stringify(plain) : line;
  } catch {
    return "[left out: nested too deep to redact]";
  }
}

/**
 * Makes plain data of anything: what JSON.stringify writes without calling code of others, throwing or losing content. A
 * walk ends where it has met more than could be sent.
 */
class Walk {
  readonly redaction: Redaction | undefined;
  hasHidden = false;
  /** Budget: how many bytes of JSON may still be copied. Each value counts as the fewest bytes that it can take. */
  #left: number;
  /** Whether to keep the part that was copied when the budget ends; otherwise TOO_LARGE is thrown. */
  readonly #keepsPart: boolean;
  readonly #maxDepth: number;

  constructor(maxBytes: number, keepsPart: boolean, redaction?: Redaction, maxDepth = MAX_DEPTH) {
    this.#left = maxBytes;
    this.#keepsPart = keepsPart;
    this.redaction = redaction;
    this.#maxDepth = maxDepth;
  }

  /** Whether a property of the value at `place` must be hidden. */
  hides(name: string, place?: Place): boolean {
    if (this.redaction === undefined || !this.redaction(name, place)) return false;
    this.hasHidden = true;
    return true;
  }

  /** A copier for printing: the text is shorter than the value, and its beginning is useful. */
  forPrinting(): Walk {
    return new Walk(this.#left, true, this.redaction, this.#maxDepth);
  }

  /** Announces at least so many bytes, so that copying does not start where they are too many. */
  expect(bytes: number): void {
    if (bytes > this.#left && !this.#keepsPart) throw TOO_LARGE;
  }

  /** A property's value as plain data, redacted where it must be hidden. */
  member(value: unknown, name: string, place?: Place): unknown {
    return value !== undefined && this.hides(name, place) ? REDACTED : this.copy(value, name, place);
  }

  /** Makes the values of our own object plain data, in place. */
  plain(fields: Fields, place?: Place): Fields {
    // The spread has copied symbols, too. JSON leaves them out, util.format would show them.
    if (this.redaction !== undefined)
      for (const symbol of Object.getOwnPropertySymbols(fields)) Reflect.deleteProperty(fields, symbol);
    for (const name of Object.keys(fields)) {
      const value = fields[name];
      if (value === undefined) continue;
      const plain = this.#left < 0 ? undefined : this.member(value, name, place);
      this.#spend(name.length + 3);
      if (plain !== value) fields[name] = plain;
    }
    return fields;
  }

  copy(value: unknown, name?: string, place?: Place): unknown {
    switch (typeof value) {
      case "string":
        this.#spend(value.length + 2);
        return value;
      case "number":
        this.#spend(1);
        return Number.isFinite(value) ? value : String(value);
      case "boolean":
      case "undefined":
        return value;
      case "object":
        return value === null ? null : this.#copyObject(value, name, place);
      default:
        return toText(value, this);
    }
  }

  #spend(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0 && !this.#keepsPart) throw TOO_LARGE;
  }

  #copyObject(value: object, name: string | undefined, above: Place | undefined): unknown {
    let depth = 1;
    for (let at = above; at !== undefined; at = at.above, depth++) if (at.value === value) return "[circular]";
    if (depth > this.#maxDepth) {
      this.hasHidden = true;
      return "[nested too deep]";
    }
    this.#spend(2);
    try {
      return this.#contents(value, { value, name, above });
    } catch (error) {
      if (error === TOO_LARGE) throw error;
      this.hasHidden = true;
      return unreadable(error);
    }
  }

  #contents(value: object, place: Place): unknown {
    if (isPlain(value) && typeof (value as { toJSON?: unknown }).toJSON !== "function")
      return this.plain(fieldsOf(value), place);
    if (isError(value)) return this.#copyError(value, place);
    // Each number takes two bytes at least. Of millions of them, copy only as many as the budget allows.
    const isNumbers = types().isTypedArray(value);
    if (isNumbers) this.expect(2 * value.length);
    const given = isNumbers && 2 * value.length > this.#left ? value.subarray(0, Math.max(0, this.#left / 2)) : value;
    const { toJSON } = given as { toJSON?: unknown };
    const json: unknown = typeof toJSON === "function" ? toJSON.call(given, place.name ?? "") : given;
    if (json !== given) {
      // JSON writes an invalid date as null.
      return json === null && types().isDate(value) ? String(value) : this.copy(json, undefined, place);
    }
    if (Array.isArray(given)) return this.#copyItems(given, place);
    if (types().isSet(given)) return this.#copyItems([...Set.prototype.values.call(given)], place);
    if (types().isMap(given)) return this.#copyMap([...Map.prototype.entries.call(given)], place);
    if (types().isBoxedPrimitive(given)) return this.copy(given.valueOf(), place.name, place);
    return types().isRegExp(given) ? String(given) : this.plain(fieldsOf(given), place);
  }

  #copyItems(items: unknown[], place: Place): unknown[] {
    this.expect(2 * items.length);
    const target: unknown[] = [];
    for (let index = 0; index < items.length && this.#left >= 0; index++) {
      this.#spend(1);
      target.push(this.member(read(items, index), String(index), place));
    }
    return target;
  }

  #copyMap(entries: [unknown, unknown][], place: Place): unknown {
    if (entries.every(([name]) => typeof name === "string")) return this.plain(Object.fromEntries(entries), place);
    return entries.map(([name, value], index) => [
      this.copy(name, undefined, place),
      this.member(value, String(isObject(name) ? index : name), place),
    ]);
  }

  /** Copies an Error, whose most important properties are not enumerable. */
  #copyError(error: Error, place: Place): Fields {
    const names = new Set(["name", "message", "stack", "cause", "errors", ...keysOf(error)]);
    // The stack starts with the message.
    if (this.hides("message", place)) names.delete("stack");
    const entries = [...names].map((name) => [name, read(error, name)]).filter(([, value]) => value !== undefined);
    return this.plain(Object.fromEntries(entries) as Fields, place);
  }
}

function unreadable(error: unknown): string {
  if (isStackEnd()) throw error;
  return `[unreadable: ${reasonOf(error)}]`;
}

// ════════════════════════════════════════════════ 8 · Size ══════════════════════════════════════════════════

/** A text that fits; its parts; an event that is too large; or the number of parts that the queue has no room for. */
type Fit = string | { texts: string[] } | { text: string; bytes: number } | { count: number };

/**
 * Cuts an event that is too large: the message of a JSON event, if its fields leave room for that; else the whole text.
 * `roomBytes` is what the queue has room for.
 */
function fitted(written: Written, { overflow, maxEventBytes }: Settings, roomBytes: number): Fit {
  const limitBytes = maxEventBytes - LIMITS.eventOverheadBytes;
  const event = typeof written === "string" ? undefined : written;
  const message = event?.message ?? "";
  const { length } = message;
  // A message that will be cut is not written in full.
  if (overflow === "error" || length <= limitBytes) {
    const text = eventText(written);
    // No character takes more than three bytes.
    if (3 * text.length <= limitBytes) return text;
    const bytes = Buffer.byteLength(text);
    if (bytes <= limitBytes) return text;
    if (overflow === "error") return { text, bytes: bytes + LIMITS.eventOverheadBytes };
  }
  const id = randomDigits(8);
  const jsonOf = (piece: string, index: number, count: number): string => {
    const more =
      overflow === "split"
        ? { part: { id, index, count } }
        : { truncatedBytes: Buffer.byteLength(message) - Buffer.byteLength(piece) };
    return jsonText({ ...(event as JsonEvent), message: piece, fields: { ...event?.fields, ...more } });
  };
  const frameBytes = length === 0 ? limitBytes + 1 : Buffer.byteLength(jsonOf("", length, length));
  const inJson = limitBytes - frameBytes >= (overflow === "split" ? MAX_ESCAPED_BYTES : 0);
  const [source, pieceBytes] = inJson ? [message, limitBytes - frameBytes] : [eventText(written), limitBytes];
  const write = inJson ? jsonOf : (piece: string) => piece;
  if (overflow === "truncate") return write(pieceOf(source, 0, pieceBytes, inJson), 0, 1);
  const pieces: string[] = [];
  for (let from = 0; from < source.length; from += (pieces[pieces.length - 1] as string).length)
    pieces.push(pieceOf(source, from, pieceBytes, inJson));
  const count = pieces.length;
  // Do not make parts that cannot enter the queue.
  const leastBytes = LIMITS.eventOverheadBytes + (inJson ? frameBytes - 2 * String(length).length : 0);
  if (Buffer.byteLength(source) + count * leastBytes > roomBytes) return { count };
  return { texts: pieces.map((piece, index) => write(piece, index, count)) };
}

/** What becomes of an event that was too large to copy. */
function tooLarge({ overflow, maxEventBytes }: Settings): Fit {
  const text = "[too large to be kept]";
  if (overflow === "truncate") return text;
  return overflow === "split" ? { count: 1 } : { text, bytes: maxEventBytes + 1 };
}

/** The text of an event. CloudWatch Logs refuses an empty one. */
function eventText(written: Written): string {
  return (typeof written === "string" ? written : jsonText(written)) || " ";
}

/** Bytes of each ASCII character in a JSON string. */
const ASCII_BYTES = Array.from({ length: 0x80 }, (_, point) => JSON.stringify(String.fromCharCode(point)).length - 2);
/** A control character or a lone surrogate in JSON, `\u0000`: the most bytes that a code point takes. */
const MAX_ESCAPED_BYTES = 6;

/** The longest piece, starting at `from`, that takes at most `limitBytes`, plain or inside a JSON string. */
function pieceOf(text: string, from: number, limitBytes: number, inJson: boolean): string {
  let bytes = 0;
  for (let index = from; index < text.length; ) {
    const point = text.codePointAt(index) as number;
    if (point < 0x80) bytes += inJson ? (ASCII_BYTES[point] as number) : 1;
    else if (inJson && point >= 0xd800 && point <= 0xdfff) bytes += MAX_ESCAPED_BYTES;
    else bytes += point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    if (bytes > limitBytes) return text.slice(from, index);
    index += point < 0x10000 ? 1 : 2;
  }
  return text.slice(from);
}

// ═══════════════════════════════════════════ 9 · Queue and batch ════════════════════════════════════════════

/** Follows each event: in memory, in a spool file and in a request. */
const SEPARATOR = ",\n";
const TAIL = Buffer.from(`"}${SEPARATOR}`);
/** Precedes each event. */
const headOf = (timestamp: number) => Buffer.from(`{"timestamp":${timestamp},"message":"`);
/** What an event may take: JSON writes a character as six bytes at most, between quotes. */
const roomFor = (textBytes: number) => headOf(-8.64e15).length + 6 * textBytes + 2 + TAIL.length;

/** A piece of the queue: events in the order of their calls, already written as elements of `logEvents`. */
class Page {
  /** Where the events go; with `{date}` in its name, each goes to the log stream of its day. */
  stream: LogStream;
  bytes: Buffer;
  count = 0;
  /** For each event: its timestamp; the end of its bytes, separator included; its size as the service counts. */
  times: number[] | Float64Array = [];
  ends: number[] | Uint32Array = [];
  sizes: number[] | Uint32Array = [];
  /** Whether events may be added. */
  isOpen = true;
  /** Events that have no outcome yet. */
  left = 0;
  next: Page | undefined;
  /** The spool file with the same events, if any. */
  file: SpoolFile | undefined;

  constructor(stream: LogStream, bytes: Buffer) {
    this.stream = stream;
    this.bytes = bytes;
  }

  /** Where an event begins, or will begin. */
  startOf(index: number): number {
    return index === 0 ? 0 : (this.ends[index - 1] as number);
  }

  /** The bytes of some of its events. */
  slice(from: number, to: number): Buffer {
    return this.bytes.subarray(this.startOf(from), this.startOf(to));
  }

  /** Writes an event, or returns false where it has no room. Counts it only when all of it is written. */
  write(timestamp: number, head: Buffer, text: Buffer, textBytes: number): boolean {
    const { bytes } = this;
    const start = this.startOf(this.count) + head.length;
    if (start + 2 * textBytes + TAIL.length > bytes.length) return false;
    bytes.set(head, start - head.length);
    let end = escapeQuotes(text, textBytes, bytes, start);
    if (end < 0) {
      const escaped = Buffer.from(JSON.stringify(text.toString("utf8", 0, textBytes)));
      if (start + escaped.length + TAIL.length > bytes.length) return false;
      // Its own quotes fall on those of head and tail.
      end = start - 1 + escaped.copy(bytes, start - 1) - 1;
    }
    for (const byte of TAIL) bytes[end++] = byte;
    this.add(timestamp, end, textBytes + LIMITS.eventOverheadBytes);
    return true;
  }

  /** Counts an event whose bytes are written. */
  add(timestamp: number, end: number, sizeBytes: number): void {
    this.times[this.count] = timestamp;
    this.ends[this.count] = end;
    this.sizes[this.count] = sizeBytes;
    this.count++;
    this.left++;
  }

  /** Closes the page. One that is mostly empty gives its memory back; of many tiny events, the numbers are made compact. */
  trim(): void {
    this.isOpen = false;
    if (this.count > MANY_EVENTS) {
      this.times = Float64Array.from(this.times.slice(0, this.count));
      this.ends = Uint32Array.from(this.ends.slice(0, this.count));
      this.sizes = Uint32Array.from(this.sizes.slice(0, this.count));
    }
    const end = this.startOf(this.count);
    if (end < 0.75 * this.bytes.length) this.bytes = Buffer.from(this.bytes.subarray(0, end));
  }
}

/**
 * Copies a text with a backslash before each quote and backslash, which is all that JSON text needs inside of JSON, to a
 * place in a page. Returns where it ends; -1 where other text has control characters.
 */
function escapeQuotes(text: Buffer, textBytes: number, page: Buffer, at: number): number {
  let end = at;
  for (let index = 0; index < textBytes; index++) {
    const byte = text[index] as number;
    if (byte < 0x20) return -1;
    if (byte === 0x22 || byte === 0x5c) page[end++] = 0x5c;
    page[end++] = byte;
  }
  return end;
}

/** Some events of a page; `to` is exclusive. */
interface Range {
  page: Page;
  from: number;
  to: number;
}

/** Events of one PutLogEvents. */
interface Batch {
  stream: LogStream;
  /** Where it was cut from, and how many events had been accepted before its first. */
  start: Cursor;
  firstNumber: number;
  isSent: boolean;
  /** By time; events of one millisecond in the order they came. */
  ranges: readonly Range[];
  count: number;
  /** As the service counts. */
  sizeBytes: number;
  firstMs: number;
  lastMs: number;
  progress: Progress;
}

function batchOf(ranges: Range[], origin: Pick<Batch, "stream" | "start" | "firstNumber">): Batch {
  let [count, sizeBytes, firstMs, lastMs, isSorted] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, true];
  for (const { page, from, to } of ranges) {
    count += to - from;
    for (let index = from; index < to; index++) {
      const time = page.times[index] as number;
      isSorted &&= time >= lastMs;
      firstMs = Math.min(firstMs, time);
      lastMs = Math.max(lastMs, time);
      sizeBytes += page.sizes[index] as number;
    }
  }
  if (!isSorted) {
    const single = ({ page, from, to }: Range) =>
      Array.from({ length: to - from }, (_, index) => ({ page, from: from + index, to: from + index + 1 }));
    ranges = ranges.flatMap(single).sort((a, b) => (a.page.times[a.from] as number) - (b.page.times[b.from] as number));
  }
  const { stream, start, firstNumber } = origin;
  const progress: Progress = { failures: 0, repairs: 0, wasPut: false, mayZip: true, wakes: 0 };
  return { stream, start, firstNumber, isSent: false, ranges, count, sizeBytes, firstMs, lastMs, progress };
}

/** The events number `first` to `end` (exclusive) of several ranges. */
function partOf(ranges: readonly Range[], first: number, end: number): Range[] {
  const part: Range[] = [];
  let number = 0;
  for (const { page, from, to } of ranges) {
    const range = { page, from: from + Math.max(0, first - number), to: Math.min(to, from + end - number) };
    if (range.from < range.to) part.push(range);
    number += to - from;
  }
  return part;
}

/** The elements of `logEvents`. */
function bytesOf(ranges: readonly Range[]): Buffer[] {
  const pieces = ranges.map(({ page, from, to }) => page.slice(from, to));
  const last = pieces.pop();
  return last === undefined ? [] : [...pieces, last.subarray(0, -SEPARATOR.length)];
}

/** The events, parsed again. */
function eventsOf(ranges: readonly Range[]): LogEvent[] {
  return JSON.parse(`[${Buffer.concat(bytesOf(ranges)).toString()}]`) as LogEvent[];
}

/**
 * Whether sending both at once could change the order: CloudWatch Logs orders by timestamp, then by arrival. The halves
 * of one batch, which share its number, go one after the other, too.
 */
function overlap(a: Batch, b: Batch): boolean {
  return a.firstNumber === b.firstNumber || (a.stream === b.stream && a.firstMs <= b.lastMs && b.firstMs <= a.lastMs);
}

/** Position of an event that is waiting, or of the next one to come. */
interface Cursor {
  page: Page;
  index: number;
}

/** Waits until `need` events have an outcome, or until there is room for `need` bytes. */
interface Waiter {
  need: number;
  done: () => void;
}

/** Holds accepted events until they have an outcome, and counts. Owns the lifecycle. */
class Queue {
  readonly #settings: Settings;
  readonly #reporter: Reporter;
  readonly #sender: Sender;
  readonly #spool: Spool | undefined;
  #state: "open" | "closing" | "closed" = "open";
  /** Under way: taking over what dead processes have left in the spool. */
  recovery: Promise<void> | undefined;
  #recoveryTimer: Stop | undefined;
  /** The last page, and the first event that is in no batch yet. */
  #tail: Page | undefined;
  #cursor: Cursor | undefined;
  #waitingEvents = 0;
  #waitingBytes = 0;
  /** Batches without an outcome, in the order of their events: those in flight, and those that wait for one of them. */
  readonly #batches: Batch[] = [];
  /** Empty pages for reuse: fresh memory costs more time than writing into it. */
  readonly #spare: Page[] = [];
  /** The text of the event that is being appended, in UTF-8. */
  #encoded = Buffer.allocUnsafeSlow(PAGE_BYTES);
  /** The head of the events of this millisecond. */
  #head = { timestamp: 0, bytes: headOf(0) };
  /** How many events were accepted; and up to which of them batches go even if they are not full. */
  #accepted = 0;
  #due = 0;
  #timer: Stop | undefined;
  #pendingBytes = 0;
  readonly #counts = { delivered: 0, pending: 0 };
  readonly #rejected: Stats["rejectedReasons"] = { tooOld: 0, tooNew: 0, expired: 0, invalid: 0 };
  readonly #dropped: Stats["droppedReasons"] = { oversize: 0, queueFull: 0, closed: 0, unsent: 0 };
  /** Ordered by `need`, because that only grows. */
  readonly #flushes = new Set<Waiter>();
  readonly #waitingForRoom: Waiter[] = [];
  /** Calls of `flushed` under way; while there are any, the process stays alive. */
  #flushing = 0;
  #alive: { close(): void } | undefined;

  constructor(logGroupName: string | null, settings: Settings, reporter: Reporter) {
    this.#settings = settings;
    this.#reporter = reporter;
    this.#sender = new Sender(logGroupName ?? "", settings, reporter);
    if (settings.spoolDirectory === undefined || logGroupName === null) return;
    const spool = new Spool(settings.spoolDirectory, logGroupName, settings.maxQueueBytes / 8, reporter);
    this.#spool = spool;
    this.recovery = Promise.resolve().then(() => this.#recover(spool));
  }

  get logStreamName(): string {
    return this.#sender.streamAt(this.#sender.stream, Date.now()).name;
  }

  stats(): Stats {
    const { requests, retries } = this.#sender;
    const { delivered, pending } = this.#counts;
    const rejected = sum(Object.values(this.#rejected));
    const dropped = sum(Object.values(this.#dropped));
    const [rejectedReasons, droppedReasons] = [{ ...this.#rejected }, { ...this.#dropped }];
    const logged = delivered + rejected + dropped + pending;
    return { logged, delivered, rejected, dropped, pending, requests, retries, rejectedReasons, droppedReasons };
  }

  takes(isNotice: boolean): boolean {
    return this.#state === "open" || (isNotice && this.#state === "closing");
  }

  /** How many bytes the queue has room for now, for events of a level. */
  roomBytes(level: Level): number {
    const share = LEVELS[level] >= LEVELS.warn ? 1 : QUEUE_HEADROOM;
    return share * this.#settings.maxQueueBytes - this.#pendingBytes;
  }

  /** Accepts an event, if there is room for it. Returns whether there was. */
  offer(level: Level, timestamp: number, text: string): boolean {
    const textBytes = this.#encode(text);
    if (textBytes + LIMITS.eventOverheadBytes > this.roomBytes(level)) return false;
    this.#append(timestamp, textBytes);
    return true;
  }

  /** Accepts the parts of an event, all or none. */
  offerAll(level: Level, timestamp: number, texts: readonly string[]): boolean {
    const bytes = sum(texts.map((text) => Buffer.byteLength(text) + LIMITS.eventOverheadBytes));
    if (bytes > this.roomBytes(level)) return false;
    for (const text of texts) this.#append(timestamp, this.#encode(text));
    return true;
  }

  /** Encodes a text into `#encoded`. Returns its size in bytes. */
  #encode(text: string): number {
    // No character takes more than three bytes.
    if (3 * text.length > this.#encoded.length) this.#encoded = Buffer.allocUnsafeSlow(3 * text.length);
    return this.#encoded.write(text);
  }

  /** Counts events that are not accepted. */
  drop(reason: DroppedReason, count: number, timestamp: number): void {
    this.#dropped[reason] += count;
    if (reason === "queueFull" || reason === "closed")
      this.#reporter.gather({ reason, count, events: [], from: timestamp, to: timestamp });
  }

  countPrinted(): void {
    this.#counts.delivered++;
  }

  /** Sends what is waiting as soon as possible. */
  sendSoon(): void {
    this.#due = this.#accepted;
    this.#pump();
  }

  /** Sends what is waiting; resolves when all that was accepted before has an outcome, or when `passed` does. */
  async flushed(passed: Promise<void>, isEnding: boolean): Promise<void> {
    const isIdle = this.#counts.pending === 0 && this.recovery === undefined && this.#spool?.removal === undefined;
    if (this.#state === "closed" || (isIdle && !isEnding)) return;
    const waiter: Waiter = { need: this.#accepted, done: () => {} };
    const done = new Promise<void>((resolve) => {
      waiter.done = resolve;
    });
    this.#flushes.add(waiter);
    this.#flushing++;
    this.#alive ??= stayAlive();
    const hopeless = isEnding ? [this.#sender.hopeless()] : [];
    this.#sender.wake();
    this.sendSoon();
    this.#notify();
    // What files of the spool are left would be sent again. At the end, a retention policy is waited for as well.
    const all = done.then(() => Promise.all([this.#spool?.removal, isEnding ? this.#sender.chores : undefined]));
    await Promise.race([all, passed, ...hopeless]);
    this.#flushes.delete(waiter);
    if (--this.#flushing > 0) return;
    this.#alive?.close();
    this.#alive = undefined;
  }

  #hasRoomFor(bytes: number): boolean {
    return this.#pendingBytes === 0 || this.#pendingBytes + bytes <= QUEUE_ROOM * this.#settings.maxQueueBytes;
  }

  /** Resolves when there is plenty of room for so many bytes, or the queue is empty; `undefined` if that is so now. */
  room(bytes: number): Promise<void> | undefined {
    if (this.#hasRoomFor(bytes)) return undefined;
    return new Promise((done) => this.#waitingForRoom.push({ need: bytes, done }));
  }

  startClosing(): void {
    if (this.#state === "open") this.#state = "closing";
  }

  /** Stops for good. What has no outcome stays in the spool, or is dropped and returned. */
  close(): { events: LogEvent[]; cause: Error | undefined } {
    this.#state = "closed";
    this.#timer?.();
    this.#recoveryTimer?.();
    const cause = this.#sender.stop();
    this.#sealTail();
    const ranges = this.#batches.splice(0).flatMap((batch) => batch.ranges);
    let from = this.#cursor?.index ?? 0;
    for (let page = this.#cursor?.page; page !== undefined; page = page.next, from = 0)
      ranges.push({ page, from, to: page.count });
    // What is on disk stays pending: the next logger of the log group sends it.
    const isLost = ({ page }: Range) => this.#spool?.holds(page) !== true;
    const events = ranges.filter(isLost).flatMap((range) => eventsOf([range]));
    this.#spool?.close();
    this.#counts.pending -= events.length;
    this.#dropped.unsent += events.length;
    this.#pendingBytes = 0;
    this.#tail = undefined;
    this.#cursor = undefined;
    for (const { done } of [...this.#flushes, ...this.#waitingForRoom.splice(0)]) done();
    return { events, cause };
  }

  #append(timestamp: number, textBytes: number): void {
    // Near the end of the stack, write neither to memory nor to disk, so that both hold the same events.
    if (this.#spool !== undefined && isStackEnd()) throw new RangeError("Maximum call stack size exceeded");
    if (this.#waitingEvents === 0) this.#sendIn(this.#sender.fillMs());
    const page = this.#write(timestamp, textBytes);
    // No function call between writing and counting: it could overflow the stack.
    this.#accepted++;
    this.#counts.pending++;
    this.#waitingEvents++;
    this.#pendingBytes += textBytes + LIMITS.eventOverheadBytes;
    this.#waitingBytes += textBytes + LIMITS.eventOverheadBytes;
    this.#spool?.append(page);
    const { maxBatchEvents, maxBatchBytes } = this.#settings;
    if (this.#isOverfull()) this.#pump();
    // The batch is full. It goes when the millisecond is over, because all events of that travel together.
    else if (this.#waitingEvents === maxBatchEvents || this.#waitingBytes + LIMITS.eventOverheadBytes >= maxBatchBytes)
      this.#sendIn(1);
  }

  /** Whether more is waiting than one batch can have. */
  #isOverfull(): boolean {
    const { maxBatchEvents, maxBatchBytes } = this.#settings;
    return this.#waitingEvents > maxBatchEvents || this.#waitingBytes > maxBatchBytes;
  }

  /** Writes the encoded event into the last page, or into a new one. */
  #write(timestamp: number, textBytes: number): Page {
    if (timestamp !== this.#head.timestamp) this.#head = { timestamp, bytes: headOf(timestamp) };
    const head = this.#head.bytes;
    const text = this.#encoded;
    const tail = this.#tail;
    if (tail?.isOpen && tail.write(timestamp, head, text, textBytes)) return tail;
    const { stream } = this.#sender;
    const needBytes = roomFor(textBytes);
    const spare = needBytes <= PAGE_BYTES ? this.#spare.pop() : undefined;
    const page = spare ?? new Page(stream, Buffer.allocUnsafeSlow(Math.max(PAGE_BYTES, needBytes)));
    page.stream = stream;
    page.write(timestamp, head, text, textBytes);
    this.#link(page);
    return page;
  }

  #link(page: Page): void {
    this.#sealTail();
    if (this.#tail !== undefined) this.#tail.next = page;
    this.#tail = page;
    this.#cursor ??= { page, index: 0 };
  }

  #sealTail(): void {
    if (!this.#tail?.isOpen) return;
    this.#tail.trim();
    this.#spool?.seal(this.#tail);
  }

  /** Sends what is waiting after `ms`; later events do not put that off. */
  #sendIn(ms: number): void {
    this.#timer?.();
    this.#timer = startTimer(() => this.sendSoon(), ms);
  }

  /** Starts every request that may start. A batch that must wait for another holds up only those that overlap with it. */
  #pump(): void {
    for (let place = 0; place < MAX_CUT_BATCHES && this.#state !== "closed"; place++) {
      if (this.#inFlight() >= this.#sender.window) return;
      if (place === this.#batches.length) {
        // A batch that is not full waits until none is in flight, and fills meanwhile.
        const isDue = this.#accepted - this.#waitingEvents < this.#due && place === 0;
        if (!this.#isOverfull() && !isDue) return;
        this.#cut();
      }
      const batch = this.#batches[place] as Batch;
      if (batch.isSent || this.#batches.slice(0, place).some((before) => overlap(before, batch))) continue;
      batch.isSent = true;
      void this.#deliver(batch);
    }
  }

  #inFlight(): number {
    return this.#batches.filter(({ isSent }) => isSent).length;
  }

  /** Cuts the next batch: as many of the waiting events as the limits allow. */
  #cut(): void {
    const { maxBatchEvents, maxBatchBytes } = this.#settings;
    const firstNumber = this.#accepted - this.#waitingEvents;
    const ranges: Range[] = [];
    let stream: LogStream | undefined;
    let [count, bytes, firstMs, lastMs] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    /** Time of the event before, and where the events of that millisecond begin. */
    let [beforeMs, mark] = [Number.NaN, 0];
    let { page, index } = this.#cursor as Cursor;
    for (; count < this.#waitingEvents; count++) {
      if (index === page.count) [page, index] = [page.next as Page, 0];
      const time = page.times[index] as number;
      const own = this.#sender.streamAt(page.stream, time);
      bytes += page.sizes[index] as number;
      firstMs = Math.min(firstMs, time);
      lastMs = Math.max(lastMs, time);
      const isOver = count === maxBatchEvents || bytes > maxBatchBytes || lastMs - firstMs >= LIMITS.maxBatchSpanMs;
      if (count > 0 && (isOver || own !== stream)) {
        // Events of one millisecond travel together: those of the newest one stay for the next batch.
        if (time === beforeMs && mark > 0) count = mark;
        break;
      }
      if (time !== beforeMs) mark = count;
      beforeMs = time;
      stream = own;
      const range = ranges[ranges.length - 1];
      if (range?.page === page) range.to = ++index;
      else ranges.push({ page, from: index, to: ++index });
    }
    const taken = partOf(ranges, 0, count);
    const [first, end] = [taken[0] as Range, taken[taken.length - 1] as Range];
    const start = { page: first.page, index: first.from };
    this.#cursor = { page: end.page, index: end.to };
    const batch = batchOf(taken, { stream: stream as LogStream, start, firstNumber });
    this.#batches.push(batch);
    this.#waitingEvents -= count;
    this.#waitingBytes -= batch.sizeBytes;
    if (this.#waitingEvents > 0) this.#sendIn(this.#sender.fillMs());
  }

  /** Cuts a throttled batch again, together with what was logged since: fewer requests are what helps. */
  #recut(batch: Batch): Batch {
    // Nothing can be added once later events are in a batch of their own, or after close().
    const isLast = batch.firstNumber + batch.count === this.#accepted - this.#waitingEvents;
    if (!isLast || this.#batches.length !== 1) return batch;
    this.#batches.length = 0;
    this.#cursor = batch.start;
    this.#waitingEvents += batch.count;
    this.#waitingBytes += batch.sizeBytes;
    this.#cut();
    const [grown] = this.#batches as [Batch];
    return Object.assign(grown, { isSent: true, progress: batch.progress });
  }

  /** Sends a batch until it has an outcome, has to wait for others, or the queue is closed. */
  async #deliver(given: Batch): Promise<void> {
    // Not inside the log call that filled the batch; and at a kill, no more than the batches in flight are on disk in vain.
    await this.#spool?.removal;
    let batch = given;
    while (this.#state !== "closed") {
      if (this.#sender.hasTokens && batch.progress.token === undefined && this.#inFlight() > 1) {
        // It needs the sequence token that the others will be answered with.
        batch.isSent = false;
        return;
      }
      const outcome = await this.#sender.send(batch);
      // close() has already counted its events.
      if ((this.#state as string) === "closed") return;
      if (outcome.kind === "stored") return this.#settle(batch, outcome.rejected);
      if (outcome.kind === "invalid") return this.#halve(batch, outcome.cause);
      await this.#sender.pause(outcome.verdict, batch.progress, this.#flushing > 0);
      if (outcome.verdict === "throttled") batch = this.#recut(batch);
    }
  }

  /** Halves a refused batch until the culprit is alone; the other events are delivered. */
  #halve(batch: Batch, cause: Error): void {
    const { ranges, count } = batch;
    const middle = count >> 1;
    if (middle === 0) {
      this.#settle(batch, [{ reason: "invalid", from: 0, to: 1 }], cause);
      return;
    }
    const halves = [partOf(ranges, 0, middle), partOf(ranges, middle, count)].map((half) => batchOf(half, batch));
    this.#batches.splice(this.#batches.indexOf(batch), 1, ...halves);
    this.#pump();
  }

  /** Counts the events of a batch as delivered, except those that were rejected. */
  #settle(batch: Batch, rejected: Rejection[], cause?: Error): void {
    const { ranges, count, sizeBytes } = batch;
    this.#batches.splice(this.#batches.indexOf(batch), 1);
    this.#counts.pending -= count;
    this.#pendingBytes -= sizeBytes;
    this.#counts.delivered += count;
    for (const { reason, from, to } of rejected) {
      this.#counts.delivered -= to - from;
      this.#rejected[reason] += to - from;
      this.#reporter.loss(reason, eventsOf(partOf(ranges, from, to)), cause);
    }
    for (const { page, from, to } of ranges) page.left -= to - from;
    for (const page of new Set(ranges.map((range) => range.page))) {
      this.#spool?.settle(page, ranges);
      if (page.left === 0) this.#release(page);
    }
    this.#notify();
    this.#pump();
  }

  /** Every event of the page has an outcome. */
  #release(page: Page): void {
    if (this.#cursor?.page === page) this.#cursor = page.next && { page: page.next, index: 0 };
    if (this.#tail === page) this.#tail = undefined;
    if (page.bytes.length !== PAGE_BYTES || this.#spare.length >= MAX_SPARE_PAGES || !Array.isArray(page.times)) return;
    page.count = 0;
    page.isOpen = true;
    page.next = undefined;
    this.#spare.push(page);
  }

  /** Queues what dead processes have left, as room allows. */
  async #recover(spool: Spool): Promise<void> {
    for await (const { logStreamName, events, file } of spool.recover()) {
      const page = pageOf(this.#sender.streamNamed(logStreamName), events);
      const bytes = sum([...page.sizes]);
      await this.room(bytes);
      if (this.#state === "closed") return;
      page.file = file;
      this.#link(page);
      if (this.#waitingEvents === 0) this.#sendIn(this.#sender.fillMs());
      this.#accepted += page.count;
      this.#counts.pending += page.count;
      this.#waitingEvents += page.count;
      this.#pendingBytes += bytes;
      this.#waitingBytes += bytes;
      this.#pump();
    }
    this.sendSoon();
    // A flush that is waiting covers recovered events, too.
    for (const waiter of this.#flushes) waiter.need = this.#accepted;
    this.recovery = undefined;
    this.#notify();
    if (this.#state === "closed") return;
    // Look again later: other processes may die, or may not be known to be dead yet.
    this.#recoveryTimer = startTimer(() => {
      this.recovery = this.#recover(spool);
    }, FOREIGN_TIMEOUT_MS);
  }

  /** Wakes whoever waits for an outcome or for room. */
  #notify(): void {
    const oldest = this.#batches[0]?.firstNumber ?? this.#accepted - this.#waitingEvents;
    for (const waiter of this.#flushes) {
      if (this.recovery !== undefined || waiter.need > oldest) break;
      this.#flushes.delete(waiter);
      waiter.done();
    }
    // One at a time, because each will take some of the room.
    const [first] = this.#waitingForRoom;
    if (first === undefined || !this.#hasRoomFor(first.need)) return;
    this.#waitingForRoom.shift();
    first.done();
    void Promise.resolve().then(() => this.#notify());
  }
}

/** A page for recovered events. There is much of it: it takes no more memory than they do. */
function pageOf(stream: LogStream, events: readonly LogEvent[]): Page {
  const elements = events.map((event) => Buffer.from(JSON.stringify(event) + SEPARATOR));
  const page = new Page(stream, Buffer.concat(elements));
  page.isOpen = false;
  for (const [index, { timestamp, message }] of events.entries())
    page.add(
      timestamp,
      page.startOf(index) + (elements[index] as Buffer).length,
      Buffer.byteLength(message) + LIMITS.eventOverheadBytes,
    );
  return page;
}

// ═══════════════════════════════════════════════ 10 · Sender ════════════════════════════════════════════════

/** Events of a batch that CloudWatch Logs did not store, by position; `to` is exclusive. */
interface Rejection {
  reason: RejectedReason;
  from: number;
  to: number;
}

/** Result of a try: stored, except some events; refused because of its content; or to be tried again after a pause. */
type Outcome =
  | { kind: "stored"; rejected: Rejection[] }
  | { kind: "invalid"; cause: Error }
  | { kind: "again"; verdict: Verdict | undefined };

/** What is known of a batch from one try to the next. */
interface Progress {
  /** Failed tries in a row; repairs such as a created log stream. */
  failures: number;
  repairs: number;
  wasPut: boolean;
  mayZip: boolean;
  /** Value of the sender's `#wakes` when the last try began. */
  wakes: number;
  /** The sequence token, if any, that it goes with until that is refused: with another one it could be stored twice. */
  token?: { value: string | undefined } | undefined;
}

/** What an error calls for. */
type Verdict = "transient" | "throttled" | "configuration" | "invalid" | "missing" | "token" | "accepted";

/** By error name. Other errors are classified by HTTP status. */
const VERDICTS: readonly [RegExp, Verdict][] = [
  [/^ResourceNotFoundException$/, "missing"],
  [/^InvalidSequenceTokenException$/, "token"],
  [/^DataAlreadyAcceptedException$/, "accepted"],
  [/^(InvalidParameter|Validation|Serialization)Exception$/, "invalid"],
  [/^(Throttling|TooManyRequests)(Exception)?$|^RequestLimitExceeded$/, "throttled"],
  [/^(OperationAborted|ServiceUnavailable|RequestTimeout)(Exception)?$|^InternalFailure$/, "transient"],
  [/^(CredentialsProviderError|SdkNotLoaded)$/, "configuration"],
];

function verdictOf(thrown: unknown): Verdict {
  const { name, code, message, status } = anyError(thrown);
  const known = VERDICTS.find(([names]) => names.test(name));
  if (known !== undefined) return known[1];
  if (status === 413) return "invalid";
  if (status === 429) return "throttled";
  if (status > 0) return status >= 400 && status < 500 && status !== 408 ? "configuration" : "transient";
  // There was no answer.
  return /MODULE_NOT_FOUND/.test(code) || /\b(region|credential)/i.test(message) ? "configuration" : "transient";
}

/** Whether it may be different next time. */
function isPassing(error: unknown): boolean {
  return /transient|throttled/.test(verdictOf(error));
}

/** The properties of an error that matter, each read once. Anything may have been thrown, so none has to be there. */
function anyError(thrown: unknown) {
  const own = (from: unknown, name: string) => (isObject(from) ? read(from, name) : undefined);
  const text = (name: string) => {
    const value = own(thrown, name);
    return typeof value === "string" ? value : "";
  };
  const metadata = own(thrown, "$metadata");
  const status = own(metadata, "httpStatusCode");
  return {
    name: text("name"),
    code: text("code"),
    message: isObject(thrown) ? text("message") : attempt(() => String(thrown), ""),
    status: typeof status === "number" ? status : 0,
    isClockCorrected: own(metadata, "clockSkewCorrected") === true,
    expectedSequenceToken: text("expectedSequenceToken") || undefined,
  };
}

/** What the user can do about an error. */
function advice({ name, code, message }: ReturnType<typeof anyError>, logGroupName: string): string {
  if (name === "SdkNotLoaded") return "";
  if (/region/i.test(message)) return "set AWS_REGION or the option region; pass null to print instead. ";
  if (/AccessDenied/.test(name)) return "allow logs:PutLogEvents, logs:CreateLogStream and logs:CreateLogGroup. ";
  if (name === "ResourceNotFoundException")
    return `create log group ${logGroupName}, or leave out createLogGroup: false. `;
  if (/credential|token|signature/i.test(name + message))
    return "set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the options profile or credentials; pass null to print instead. ";
  return /ECONNREFUSED|ENOTFOUND/.test(code) ? "check the endpoint and the region. " : "";
}

/** A log stream that is written to. */
interface LogStream {
  /** With `{date}` in it, it stands for a log stream for each day. */
  name: string;
  isDated: boolean;
  /** Must be created before the first put; gets another name if this one is taken. */
  isFresh: boolean;
  /** CreateLogStream under way, which every batch of the log stream waits for. */
  creation?: Promise<void> | undefined;
  /** The next sequence token, if the endpoint asks for tokens. */
  token?: string | undefined;
}

const NO_EVENTS = '"logEvents":[]';

/** A client's answer. A test double may leave out anything. */
type PutAnswer = Partial<Sdk.PutLogEventsCommandOutput>;

/** Sends batches to CloudWatch Logs, one try per call, each with an {@link Outcome}. Never throws. */
class Sender {
  /** The log stream of the options. */
  readonly stream: LogStream;
  requests = 0;
  retries = 0;
  /** Resolves when no retention policy is being set any more. */
  chores: Promise<unknown> = Promise.resolve();
  /** The endpoint asks for sequence tokens: each request needs the token from the answer before. */
  hasTokens = false;
  readonly #streams = new Map<string, LogStream>();
  readonly #logGroupName: string;
  readonly #settings: Settings;
  readonly #reporter: Reporter;
  #isStopped = false;
  /** One for each request under way. */
  readonly #aborts = new Set<AbortController>();
  /** The credentials of the last failed request, to keep them out of reports. */
  #secrets: string[] = [];
  #sdk: typeof Sdk | undefined;
  #client: Client | undefined;
  /** Kept when the client is replaced because its credentials were refused. */
  #agents: object | undefined;
  /** Whether the endpoint has ever answered. */
  #hasAnswered = false;
  /** Batches in a row that got through only without gzip. */
  #gzipRefusals: number;
  /** Bodies of answered requests for reuse: fresh memory for each takes time, and stays until the garbage is collected. */
  readonly #bodies: Buffer[] = [];
  /** Ends each pause that is under way; and how often `wake()` was called. */
  readonly #pauses = new Set<() => void>();
  #wakes = 0;
  /** Who waits for a try to fail hopelessly that begins after so many wakes. */
  readonly #giveUps: { wakes: number; done: () => void }[] = [];
  /** The last error and the name under which it was reported; until a batch gets through. */
  #trouble: { cause: Error; reported: string } | undefined;
  /** The pace as of the last throttled answer, and when that was. */
  #paceMs: number;
  #throttledAtMs = Number.NEGATIVE_INFINITY;
  /** The SDK's request body has no place for ready-made events: let it serialize them itself. */
  #isPlain = false;

  constructor(logGroupName: string, settings: Settings, reporter: Reporter) {
    this.stream = this.streamNamed(fillName(settings.logStreamName, Date.now()));
    this.stream.isFresh = settings.logStreamName === DEFAULTS.logStreamName;
    this.#logGroupName = logGroupName;
    this.#settings = settings;
    this.#reporter = reporter;
    this.#paceMs = settings.flushIntervalMs;
    this.#gzipRefusals = settings.compress ? 0 : MAX_GZIP_REFUSALS;
  }

  streamNamed(name: string): LogStream {
    const stream = this.#streams.get(name) ?? { name, isDated: name.includes("{date}"), isFresh: false };
    this.#streams.set(name, stream);
    return stream;
  }

  /** Where an event of that time goes. */
  streamAt(stream: LogStream, timestamp: number): LogStream {
    if (!stream.isDated) return stream;
    const date = String(new Date(timestamp).toJSON()).slice(0, 10);
    return this.streamNamed(stream.name.split("{date}").join(date));
  }

  /** How many batches may be in flight. In trouble one is enough to find out whether it is over. */
  get window(): number {
    return this.#trouble !== undefined || this.hasTokens ? 1 : this.#settings.maxInFlight;
  }

  /** How long a batch may fill, ms. A throttled account is helped by fewer, fuller requests. */
  fillMs(): number {
    const { flushIntervalMs } = this.#settings;
    const paceMs = this.#pace();
    return paceMs > flushIntervalMs ? Math.min(PACE_MAX_MS, 1.5 * paceMs) : flushIntervalMs;
  }

  /** The pause after a throttled answer, ms. It shrinks back to `flushIntervalMs` with time. */
  #pace(): number {
    // Only once a batch has got through.
    const passed = this.#trouble === undefined ? Math.max(0, Date.now() - this.#throttledAtMs) / PACE_RECOVERY_MS : 0;
    return Math.min(PACE_MAX_MS, Math.max(this.#settings.flushIntervalMs, this.#paceMs * (1 - passed)));
  }

  /** Resolves when a try that begins after the next `wake()` fails, and waiting will not help. */
  hopeless(): Promise<void> {
    return new Promise((done) => this.#giveUps.push({ wakes: this.#wakes, done }));
  }

  /** Ends all pauses, and the next pause of each request under way. */
  wake(): void {
    this.#wakes++;
    for (const end of this.#pauses) end();
  }

  /** Aborts everything. Returns the error that held up delivery, if any. */
  stop(): Error | undefined {
    this.#isStopped = true;
    this.wake();
    for (const abort of this.#aborts) abort.abort();
    if (this.#settings.client === undefined) {
      attempt(() => (this.#client as Sdk.CloudWatchLogsClient | undefined)?.destroy(), undefined);
    }
    return this.#trouble?.cause;
  }

  /** One try to store a batch. */
  async send(batch: Batch): Promise<Outcome> {
    const { stream, progress, count, sizeBytes } = batch;
    progress.wakes = this.#wakes;
    progress.token ??= { value: stream.token };
    const zip = progress.mayZip && this.#gzipRefusals < MAX_GZIP_REFUSALS && sizeBytes >= GZIP_MIN_BYTES;
    const failed = stream.isFresh ? await this.#create(batch) : undefined;
    if (failed !== undefined) return failed;
    try {
      this.requests++;
      if (progress.wasPut) this.retries++;
      progress.wasPut = true;
      const wire: { body?: Buffer } = {};
      const hasTokens = this.hasTokens;
      const given = await this.#request((sdk) => this.#command(sdk, batch, zip, wire));
      const answer: PutAnswer = isObject(given) ? attempt(() => ({ ...given }), {}) : {};
      if (
        wire.body !== undefined &&
        answer.$metadata?.requestId === undefined &&
        answer.nextSequenceToken === undefined
      )
        throw new Error("The endpoint's answer is not one of CloudWatch Logs");
      // A client of the program's own may keep the body.
      if (this.#settings.client === undefined && wire.body !== undefined) this.#bodies.push(wire.body);
      this.#hasAnswered = true;
      // A request from before tokens were asked for has no say.
      if (hasTokens) stream.token = answer.nextSequenceToken;
      this.#trouble = undefined;
      if (zip) this.#gzipRefusals = 0;
      else if (!progress.mayZip) this.#gzipRefusals++;
      return { kind: "stored", rejected: attempt(() => this.#rejectedOf(answer, count), []) };
    } catch (error) {
      return await this.#failed(batch, zip, error);
    }
  }

  /** Repairs what can be repaired, and decides how to go on. */
  async #failed(batch: Batch, zip: boolean, error: unknown, verdict = verdictOf(error)): Promise<Outcome> {
    const { stream, progress } = batch;
    const { status, code, isClockCorrected, expectedSequenceToken } = anyError(error);
    if (status > 0) this.#hasAnswered = true;
    if (verdict === "token" || verdict === "accepted") {
      this.hasTokens = true;
      stream.token = expectedSequenceToken;
      progress.token = undefined;
    }
    if (verdict === "accepted") return { kind: "stored", rejected: [] };
    // Endpoints refuse gzip with all sorts of errors. If the batch gets through without it, that was the reason.
    const isZipRefused = zip && (verdict === "invalid" || status === 415);
    if (isZipRefused) this.#gzipRefusals = MAX_GZIP_REFUSALS - 1;
    else if (verdict === "invalid") return { kind: "invalid", cause: this.#clean(error) };
    if (isZipRefused || (zip && status >= 500)) progress.mayZip = false;
    let isRepaired = verdict === "token" || isZipRefused || isClockCorrected;
    if (verdict === "missing" && !this.#isStopped) {
      const failed = await this.#create(batch);
      if (failed !== undefined) return failed;
      isRepaired = true;
    }
    if (isRepaired && progress.repairs++ < MAX_REPAIRS) return { kind: "again", verdict: undefined };
    // An endpoint that has never answered and refuses connections is probably wrong.
    const isWrong = !this.#hasAnswered && /ECONNREFUSED|ENOTFOUND/.test(code);
    const isSetting = verdict === "configuration" || verdict === "missing";
    // Not while other requests are under way: they may still be stored.
    if ((isSetting || isWrong) && this.#aborts.size === 0)
      for (const { wakes, done } of this.#giveUps) if (wakes < progress.wakes) done();
    progress.failures++;
    if (this.#trouble === undefined) this.#paceMs = this.#pace();
    this.#note(error, isSetting, progress.failures);
    return { kind: "again", verdict };
  }

  /** Waits before the next try, with jitter; less if a flush is waiting, or `wake()` is called. */
  async pause(
    verdict: Verdict | undefined,
    progress: Pick<Progress, "failures" | "wakes">,
    isAwaited: boolean,
  ): Promise<void> {
    if (verdict === undefined) return;
    const isThrottled = verdict === "throttled";
    const maxMs = verdict === "configuration" ? CONFIGURATION_RETRY_MS : RETRY_MAX_MS;
    let ms = Math.random() * Math.min(maxMs, RETRY_MIN_MS * 2 ** Math.min(progress.failures - 1, 30));
    if (isThrottled) {
      ms = this.#pace() * (0.5 + Math.random());
      this.#paceMs = 1.5 * this.#pace();
      this.#throttledAtMs = Date.now();
    }
    const endsAt = Date.now() + ms;
    const isWoken = this.#wakes !== progress.wakes || (isThrottled && isAwaited) || (await this.#sleep(ms));
    if (!isWoken || this.#isStopped) return;
    if (!isThrottled) {
      progress.failures = 0;
      return;
    }
    // If all loggers that flush at one moment went on at once, they would be throttled again.
    const restMs = Math.min(endsAt - Date.now(), THROTTLED_FLUSH_MS * (1 + Math.random()));
    await new Promise<void>((resolve) => startTimer(resolve, restMs));
  }

  /** Resolves with false after `ms`, with true when woken. */
  #sleep(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (isWoken: boolean) => {
        stop();
        this.#pauses.delete(wake);
        resolve(isWoken);
      };
      const wake = () => end(true);
      const stop = startTimer(() => end(false), ms);
      this.#pauses.add(wake);
    });
  }

  #command(sdk: typeof Sdk, batch: Batch, zip: boolean, wire: { body?: Buffer }): object {
    const { entity, client } = this.#settings;
    const { stream, progress } = batch;
    const logStreamName = stream.name;
    const sequenceToken = progress.token?.value;
    const input = {
      logGroupName: this.#logGroupName,
      logStreamName,
      ...(sequenceToken !== undefined && { sequenceToken }),
      ...(entity !== undefined && { entity: entity as Sdk.Entity }),
    };
    // A client that is not the SDK's, such as a test double, finds the events here.
    const isRead = client !== undefined || this.#isPlain;
    const command = new sdk.PutLogEventsCommand({ ...input, logEvents: isRead ? eventsOf(batch.ranges) : [] });
    if (this.#isPlain) return command;
    // The SDK serializes a request without events; they are put into its body before it is signed. Its own walk over
    // 10,000 events, and stringifying them once more, would cost more than everything else on the way to AWS.
    command.middlewareStack.add((next) => (args) => next({ ...args, input: { ...input, logEvents: [] } }), {
      step: "initialize",
      priority: "high",
    });
    command.middlewareStack.add(
      (next) => async (args) => {
        const request = args.request as { body: Uint8Array | string; headers: Record<string, string> };
        const empty = typeof request.body === "string" ? Buffer.from(request.body) : asBuffer(request.body);
        const at = empty.indexOf(NO_EVENTS) + NO_EVENTS.length - 1;
        this.#isPlain = at < NO_EVENTS.length;
        if (this.#isPlain)
          throw new Error("The SDK serializes in an unknown way; its own serializer is used from now on");
        const pieces = [empty.subarray(0, at), ...bytesOf(batch.ranges), empty.subarray(at)];
        const length = sum(pieces.map((piece) => piece.length));
        const spare = this.#bodies.pop();
        wire.body = spare !== undefined && spare.length >= length ? spare : Buffer.allocUnsafeSlow(1.1 * length);
        let end = 0;
        for (const piece of pieces) end += piece.copy(wire.body, end);
        const whole = wire.body.subarray(0, length);
        const zipped = zip ? await gzip(whole) : whole;
        request.body = zipped.length < whole.length ? zipped : whole;
        if (request.body !== whole) request.headers["content-encoding"] = "gzip";
        request.headers["content-length"] = String(request.body.length);
        return next(args);
      },
      { step: "build", priority: "high" },
    );
    return command;
  }

  /** The events that CloudWatch Logs did not store. Its end indexes are exclusive, its start index is inclusive. */
  #rejectedOf({ rejectedLogEventsInfo: info, rejectedEntityInfo }: PutAnswer, count: number): Rejection[] {
    if (isObject(rejectedEntityInfo))
      this.#reporter.error("ERR_ENTITY", `CloudWatch Logs refused the entity: ${rejectedEntityInfo.errorType}`);
    const place = (value: number | undefined, otherwise: number) =>
      Number.isInteger(value) ? Math.min(Math.max(value as number, 0), count) : otherwise;
    // Whatever the answer says, no event counts twice.
    const old = place(info?.tooOldLogEventEndIndex, 0);
    const expired = Math.max(place(info?.expiredLogEventEndIndex, 0), old);
    const young = Math.max(place(info?.tooNewLogEventStartIndex, count), expired);
    const ranges: Rejection[] = [
      { reason: "tooOld", from: 0, to: old },
      { reason: "expired", from: old, to: expired },
      { reason: "tooNew", from: young, to: count },
    ];
    return ranges.filter(({ from, to }) => from < to);
  }

  /** Creates the log stream of a batch. Returns the outcome of the try where that fails. */
  async #create(batch: Batch): Promise<Outcome | undefined> {
    const { stream } = batch;
    stream.creation ??= this.#createStream(stream, this.#settings.createLogGroup).finally(() => {
      stream.creation = undefined;
    });
    try {
      await stream.creation;
      return undefined;
    } catch (error) {
      // No event is at fault here: what AWS refuses is a setting.
      return await this.#failed(batch, false, error, isPassing(error) ? verdictOf(error) : "configuration");
    }
  }

  /** Creates a log stream, and its log group if that is missing. Where the name of a fresh one is taken, takes another. */
  async #createStream(stream: LogStream, mayCreateGroup: boolean): Promise<void> {
    const logGroupName = this.#logGroupName;
    let logStreamName = stream.name;
    for (let names = 1; ; ) {
      try {
        await this.#request((sdk) => new sdk.CreateLogStreamCommand({ logGroupName, logStreamName }));
        break;
      } catch (error) {
        if (anyError(error).name === "ResourceAlreadyExistsException") {
          if (!stream.isFresh || names++ > MAX_REPAIRS) break;
          logStreamName = fillName(DEFAULTS.logStreamName, Date.now());
        } else if (verdictOf(error) === "missing" && mayCreateGroup) {
          mayCreateGroup = false;
          await this.#createGroup();
        } else throw error;
      }
    }
    stream.name = logStreamName;
    stream.isFresh = false;
  }

  async #createGroup(withTags = true): Promise<void> {
    const { kmsKeyId, logGroupClass, retentionInDays } = this.#settings;
    const logGroupName = this.#logGroupName;
    const tags = withTags && Object.keys(this.#settings.tags ?? {}).length > 0 ? this.#settings.tags : undefined;
    const more = { ...(kmsKeyId && { kmsKeyId }), ...(logGroupClass && { logGroupClass }), ...(tags && { tags }) };
    try {
      await this.#request((sdk) => new sdk.CreateLogGroupCommand({ logGroupName, ...more }));
    } catch (error) {
      if (anyError(error).name === "ResourceAlreadyExistsException") return;
      if (tags === undefined || isPassing(error)) throw error;
      // Tags need a permission of their own. A log group without tags is better than none.
      await this.#createGroup(false);
      this.#report("ERR_LOG_GROUP", `The tags of log group ${logGroupName} were refused`, error);
      return;
    }
    if (retentionInDays !== undefined) this.chores = Promise.all([this.chores, this.#retain(retentionInDays)]);
  }

  /** Sets the retention policy, without holding up delivery. */
  async #retain(retentionInDays: number): Promise<void> {
    const logGroupName = this.#logGroupName;
    for (const progress = { failures: 1, wakes: 0 }; !this.#isStopped; progress.failures++) {
      progress.wakes = this.#wakes;
      try {
        await this.#request((sdk) => new sdk.PutRetentionPolicyCommand({ logGroupName, retentionInDays }));
        return;
      } catch (error) {
        if (isPassing(error) && !this.#isStopped) await this.pause(verdictOf(error), progress, true);
        else
          return this.#report("ERR_LOG_GROUP", `The retention policy of log group ${logGroupName} was not set`, error);
      }
    }
  }

  /** One request, aborted after REQUEST_TIMEOUT_MS or when the sender stops. */
  async #request(command: (sdk: typeof Sdk) => object): Promise<unknown> {
    const abort = new AbortController();
    const stop = startTimer(() => abort.abort(), REQUEST_TIMEOUT_MS);
    this.#aborts.add(abort);
    const late = new Promise<never>((_, reject) => {
      abort.signal.addEventListener("abort", () => {
        const words = this.#isStopped ? "The logger was closed" : `No answer within ${REQUEST_TIMEOUT_MS} ms`;
        reject(Object.assign(new Error(words), { name: "TimeoutError" }));
      });
    });
    try {
      // Some clients ignore the signal.
      return await Promise.race([this.#reporter.quietly(() => this.#send(command, abort.signal)), late]);
    } finally {
      stop();
      this.#aborts.delete(abort);
    }
  }

  async #send(command: (sdk: typeof Sdk) => object, abortSignal: AbortSignal): Promise<unknown> {
    // A failed import is not remembered, so that the next try may succeed.
    this.#sdk ??= await loadSdk();
    this.#client ??= this.#settings.client ?? this.#newClient(this.#sdk);
    const client = this.#client;
    // Nothing may be sent after close().
    if (this.#isStopped || abortSignal.aborted) throw new Error("The logger was closed");
    try {
      return await client.send(command(this.#sdk) as never, { abortSignal } as never);
    } catch (error) {
      const read = async () => await (client as Partial<Sdk.CloudWatchLogsClient>).config?.credentials?.();
      const { secretAccessKey, sessionToken } = (await read().catch(() => undefined)) ?? {};
      this.#secrets = [secretAccessKey, sessionToken].flatMap((secret) => secret || []);
      throw error;
    }
  }

  #newClient(sdk: typeof Sdk): Client {
    const { region, profile, credentials, endpoint } = this.#settings;
    this.#agents ??= newAgents();
    return new sdk.CloudWatchLogsClient({
      ...(region !== undefined && { region }),
      ...(profile !== undefined && { profile }),
      ...(credentials !== undefined && { credentials: named(credentials) }),
      ...(endpoint !== undefined && { endpoint }),
      // Retries are ours alone: the SDK does not know when to halve, to create and to stop.
      maxAttempts: 1,
      requestHandler: this.#agents,
      // Without `info`: if there is one, the SDK copies every input for it.
      logger: { trace() {}, debug() {}, warn() {}, error() {} },
    } as Sdk.CloudWatchLogsClientConfig);
  }

  /** Remembers an error, and reports it once for each change. */
  #note(error: unknown, isSetting: boolean, failures: number): void {
    const cause = this.#clean(error);
    const reported = this.#trouble?.reported ?? "";
    this.#trouble = { cause, reported };
    // A new client asks for the credentials again, which may be right next time.
    if (isSetting) this.#client = undefined;
    if (cause.name === reported || (!isSetting && failures < REPORT_AFTER_TRIES)) return;
    this.#trouble.reported = cause.name;
    const todo = advice(anyError(error), this.#logGroupName);
    if (cause.name === "SdkNotLoaded") this.#report("ERR_SDK_MISSING", "Log events wait for the AWS SDK", error);
    else if (!isSetting)
      this.#report("ERR_TRANSIENT", `Log events wait: ${todo}CloudWatch Logs cannot be reached`, error);
    else this.#report("ERR_CONFIGURATION", `Log events wait: ${todo}CloudWatch Logs or the SDK said`, error);
  }

  #report(code: ErrorCode, text: string, error: unknown): void {
    const cause = this.#clean(error);
    this.#reporter.error(code, `${text}: ${cause.name}: ${cause.message}`, cause);
  }

  /** A copy of an error without its request and answer, which hold signed headers, and without quotations of those. */
  #clean(error: unknown): Error {
    const { name, message, status } = anyError(error);
    const withoutSecrets = (text: string) =>
      this.#secrets.reduce((cleaned, secret) => cleaned.split(secret).join(REDACTED), text).slice(0, 500);
    // SignatureDoesNotMatch quotes the signed headers after this.
    const [text = ""] = message.split(/\n|The Canonical String/, 1);
    const $metadata = status > 0 ? { $metadata: { httpStatusCode: status } } : {};
    return Object.assign(new Error(withoutSecrets(text)), { name: withoutSecrets(name) || "Error" }, $metadata);
  }
}

/** Gives what a credentials provider throws the name by which it is recognized. */
function named(credentials: Exclude<Settings["credentials"], undefined>): object {
  if (typeof credentials !== "function") return credentials;
  return async () => {
    try {
      const given: unknown = await credentials();
      if (isObject(given)) return given;
      throw new Error("The function that provides credentials gave none");
    } catch (error) {
      throw Object.assign(new Error(reasonOf(error)), { name: "CredentialsProviderError" });
    }
  };
}

async function loadSdk(): Promise<typeof Sdk> {
  try {
    return await import("@aws-sdk/client-cloudwatch-logs");
  } catch (error) {
    try {
      // Jest has no import(), and under jsdom its require() finds the browser build. Node's own is behind its Module.
      const module = process.getBuiltinModule("node:module");
      const { createRequire = module.createRequire } = Object.getPrototypeOf(module) as Partial<typeof module>;
      if (typeof __filename === "string")
        return createRequire(__filename)("@aws-sdk/client-cloudwatch-logs") as typeof Sdk;
    } catch {
      // The first error says more.
    }
    const reason = reasonOf(error);
    const todo = /Dynamic require of/.test(reason)
      ? "bundle it with --main-fields=module,main, or with a banner that defines require by createRequire"
      : "npm install @aws-sdk/client-cloudwatch-logs";
    throw Object.assign(new Error(`${todo} (${reason})`), { name: "SdkNotLoaded" });
  }
}

/** Agents whose sockets do not keep the process alive; `closeTimeoutMs` decides how long its end waits. */
function newAgents(): object {
  const [http, https] = [process.getBuiltinModule("node:http"), process.getBuiltinModule("node:https")];
  // The proxy of the environment, if Node.js is told to use it.
  const { proxyEnv } = (http.globalAgent as { options?: { proxyEnv?: unknown } }).options ?? {};
  const options = { keepAlive: true, ...(proxyEnv !== undefined && { proxyEnv }) } as object;
  const agents = [new http.Agent(options), new https.Agent(options)] as unknown as Record<string, SocketMethod>[];
  // Some runtimes have no such methods, and behind a proxy the socket comes later.
  for (const agent of agents) {
    const { createConnection, reuseSocket } = agent;
    if (createConnection)
      agent["createConnection"] = (...given) => (createConnection.apply(agent, given) as Socket | undefined)?.unref();
    if (reuseSocket)
      agent["reuseSocket"] = (socket, request) => {
        reuseSocket.call(agent, socket, request);
        (socket as Socket).unref();
      };
  }
  const [httpAgent, httpsAgent] = agents;
  // Otherwise a timer of the SDK, which warns of too few sockets, keeps the process alive for 3 s.
  return { socketAcquisitionWarningTimeout: 1, httpAgent, httpsAgent };
}

type SocketMethod = (...given: unknown[]) => unknown;

/** Off the main thread. Level 1 makes logs five times smaller; level 6 six times, at three times the cost. */
function gzip(body: Uint8Array): Promise<Uint8Array> {
  const { promisify } = process.getBuiltinModule("node:util");
  return promisify(process.getBuiltinModule("node:zlib").gzip)(body, { level: 1 });
}

// ════════════════════════════════════════════════ 11 · Spool ════════════════════════════════════════════════
//
// A page is a file: a line that says where its events belong, a line for each event, with the bytes of the page; then lines
// that say which of them have an outcome, `{"done":[0,17]},`. It is removed when all of them have one. Whoever takes it over
// adds a line `{"taken":true},` where some have one: from there on, numbers count those that have none.
//
//   <spoolDirectory>/<group>-<kernel>-<owner>.sock   a socket that listens for as long as its owner lives
//   <spoolDirectory>/<group>-<kernel>-<owner>/…      the owner's files
//
// The socket is the lock: the kernel closes it with the process, whatever ends that, and it tells the living from the
// dead in every container that shares the directory. To take over, a file is moved into one's own directory: only one can.

/** A socket tells nothing about a process of another kernel. It counts as dead this long after its last heartbeat. */
const FOREIGN_TIMEOUT_MS = 10 * 60_000;
const HEARTBEAT_MS = 60_000;
/** Longest path of a socket: `sun_path` has 108 bytes on Linux, 104 on BSD and macOS, including a zero. */
const MAX_SOCKET_PATH_BYTES = 103;
const OWNER = /^([\da-f]{8})-[\da-f]{8}-\d{8}$/;
/** Marks the copy of a damaged file. */
const DAMAGED = ".damaged";
/** Ends a line that was being written when its process died. */
const TORN = "!";
const OWNER_NAME_BYTES = "/01234567-01234567-01234567.sock".length;

/** The file of a page, or its part of one that was taken over. */
interface SpoolFile {
  path: string;
  /** While events may be added. */
  descriptor?: number | undefined;
  /** Number of the page's first event in the file. */
  from: number;
  /** The pages of this file that have events without an outcome. */
  pages: { left: number };
}

class Spool {
  /** Under way: removing files. */
  removal: Promise<void> | undefined;
  readonly #fs = process.getBuiltinModule("node:fs");
  readonly #path = process.getBuiltinModule("node:path");
  readonly #directory: string;
  readonly #logGroupName: string;
  /** Largest page of recovered events, as the service counts. */
  readonly #maxBytes: number;
  readonly #reporter: Reporter;
  /** Names of this log group and this kernel start with it. */
  readonly #prefix: string;
  /** Our own directory, once it is made. Off after a failure and after close: new events are not written any more. */
  #home: string | undefined;
  #isOff = false;
  #server: SocketServer | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #files = 0;
  /** Files whose events all have an outcome. */
  readonly #settled = new Set<string>();

  constructor(directory: string, logGroupName: string, maxBytes: number, reporter: Reporter) {
    const bootId = () => this.#fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
    const kernel = attempt(bootId, process.getBuiltinModule("node:os").hostname());
    this.#directory = directory;
    this.#logGroupName = logGroupName;
    this.#maxBytes = maxBytes;
    this.#prefix = `${shortHash(logGroupName)}-${shortHash(kernel)}-`;
    this.#reporter = reporter;
  }

  /** Whether the events of a page are on disk. */
  holds(page: Page): boolean {
    return page.file !== undefined && this.#home !== undefined;
  }

  /** Writes the last event of a page to its file. If that fails, the page goes on without a file. */
  append(page: Page): void {
    const isUsed = !this.#isOff && (page.file !== undefined || page.count === 1);
    let isSafe = false;
    try {
      isSafe = isUsed && this.#try(() => this.#write(page, page.slice(page.count - 1, page.count)));
    } finally {
      if (!isSafe) this.#forget(page);
    }
  }

  /** Closes the file of a page. Some file systems report only now that they have not stored everything. */
  seal(page: Page): void {
    const descriptor = page.file?.descriptor;
    if (page.file === undefined || descriptor === undefined) return;
    page.file.descriptor = undefined;
    if (!this.#try(() => this.#fs.closeSync(descriptor))) this.#forget(page);
  }

  /** Notes which events of a page have an outcome. Where all have one, the file goes in the background: disks are slow. */
  settle(page: Page, ranges: readonly Range[]): void {
    if (page.left === 0) this.seal(page);
    const { file } = page;
    if (file === undefined) return;
    if (page.left === 0) page.file = undefined;
    if (page.left === 0 && --file.pages.left === 0) {
      this.#settled.add(file.path);
      this.removal ??= this.#removeSettled();
    } else if (this.#home !== undefined) {
      const lines = ranges
        .filter((range) => range.page === page)
        .map(({ from, to }) => JSON.stringify({ done: [file.from + from, file.from + to] }) + SEPARATOR);
      this.#try(() => this.#fs.appendFileSync(file.path, lines.join("")));
    }
  }

  async #removeSettled(): Promise<void> {
    // What is added meanwhile is visited, too.
    for (const path of this.#settled) {
      await this.#later(this.#fs.promises.unlink(path));
      this.#settled.delete(path);
    }
    this.removal = undefined;
  }

  /** Takes over what dead processes have left, page by page, the oldest first. */
  async *recover() {
    if (this.#isOff || !this.#try(() => this.#open())) return;
    const { readdir, rm, rmdir } = this.#fs.promises;
    const owners: string[] = [];
    const files: string[] = [];
    for (const entry of (await this.#later(readdir(this.#directory, { withFileTypes: true }))) ?? []) {
      if (this.#home === undefined) return;
      const owner = entry.name;
      const directory = this.#path.join(this.#directory, owner);
      // Symbolic links are not followed.
      const isOwner = entry.isDirectory() && OWNER.exec(owner)?.[1] === this.#prefix.slice(0, 8);
      if (!isOwner || directory === this.#home || (await this.#isAlive(owner))) continue;
      owners.push(owner);
      await this.#later(this.#list(directory, (name) => files.push(`${name} ${owner}`)));
    }
    // File names begin with their time.
    for (const file of files.sort()) {
      if (this.#home === undefined) return;
      const [name, owner] = file.split(" ") as [string, string];
      const path = this.#path.join(this.#directory, owner, name);
      yield* (await this.#later(this.#take(path, this.#path.join(this.#home, name)))) ?? [];
    }
    for (const owner of owners) {
      if (this.#home === undefined) return;
      // The socket first: a directory without a socket is looked at again. rmdir() removes only empty ones.
      await rm(this.#socketOf(owner), { force: true }).catch(() => {});
      await rmdir(this.#path.join(this.#directory, owner)).catch(() => {});
    }
  }

  /** Leaves what has no outcome to the next logger of this log group. */
  close(): void {
    const home = this.#home;
    this.#isOff = true;
    this.#home = undefined;
    process.getBuiltinModule("node:timers").clearInterval(this.#heartbeat);
    this.#server?.close();
    for (const path of this.#settled) attempt(() => this.#fs.rmSync(path, { force: true }), undefined);
    this.#settled.clear();
    if (home === undefined) return;
    attempt(() => this.#fs.rmSync(this.#socketOf(this.#path.basename(home)), { force: true }), undefined);
    // Only where it is empty.
    attempt(() => this.#fs.rmdirSync(home), undefined);
  }

  #write(page: Page, event: Buffer): void {
    let bytes = event;
    if (page.file === undefined) {
      const name = `${Date.now()}-${String(this.#files++).padStart(9, "0")}-${randomDigits(8)}`;
      const path = this.#path.join(this.#open(), name);
      page.file = { path, descriptor: this.#fs.openSync(path, "ax", 0o600), from: 0, pages: { left: 1 } };
      const header = `${JSON.stringify({ logGroupName: this.#logGroupName, logStreamName: page.stream.name })}\n`;
      // Header and event in one call, so that no file has a header only.
      bytes = Buffer.concat([Buffer.from(header), event]);
    }
    const written = this.#fs.writeSync(page.file.descriptor as number, bytes);
    if (written < bytes.length) throw new Error("No space left");
  }

  /** Removes the file of a page whose events are only in memory from now on. */
  #forget(page: Page): void {
    const { file } = page;
    page.file = undefined;
    if (file === undefined) return;
    const { descriptor } = file;
    if (descriptor !== undefined) attempt(() => this.#fs.closeSync(descriptor), undefined);
    attempt(() => this.#fs.rmSync(file.path, { force: true }), undefined);
  }

  /** Makes our own directory and the socket that guards it, the socket first. */
  #open(): string {
    if (this.#home !== undefined) return this.#home;
    makeDirectory(this.#directory);
    const { mode, uid } = this.#fs.lstatSync(this.#directory);
    const isOurs = process.getuid === undefined || (uid === process.getuid() && (mode & 0o022) === 0);
    if ((mode & this.#fs.constants.S_IFMT) !== this.#fs.constants.S_IFDIR || !isOurs) {
      throw new Error("It must be a directory, no link, of this user, and writable by no other");
    }
    const name = this.#prefix + randomDigits(8);
    const home = this.#path.join(this.#directory, name);
    this.#server = process
      .getBuiltinModule("node:net")
      .createServer((connection) => connection.destroy())
      .unref();
    this.#server.on("error", (error) => {
      // Without its socket the directory would look like that of a dead process.
      if (this.#home !== undefined) attempt(() => this.#fs.rmSync(home, { recursive: true, force: true }), undefined);
      this.#home = undefined;
      this.#fail(error);
    });
    this.#server.listen({ path: this.#socketOf(name), exclusive: true });
    attempt(() => this.#fs.chmodSync(this.#socketOf(name), 0o600), undefined);
    this.#fs.mkdirSync(home, { mode: 0o700 });
    this.#home = home;
    const beat = () => attempt(() => this.#fs.utimesSync(home, new Date(), new Date()), undefined);
    this.#heartbeat = process.getBuiltinModule("node:timers").setInterval(beat, HEARTBEAT_MS).unref();
    return home;
  }

  #socketOf(name: string): string {
    const path = this.#path.join(this.#directory, `${name}.sock`);
    return process.platform === "win32" ? `\\\\.\\pipe\\cwlogger-${name}` : path;
  }

  async #isAlive(owner: string): Promise<boolean> {
    if (!owner.startsWith(this.#prefix)) {
      const stats = await this.#fs.promises.stat(this.#path.join(this.#directory, owner)).catch(() => ({ mtimeMs: 0 }));
      return Date.now() - stats.mtimeMs < FOREIGN_TIMEOUT_MS;
    }
    const connection = process.getBuiltinModule("node:net").connect(this.#socketOf(owner)).unref();
    const failure = await new Promise<unknown>((resolve) => {
      connection.once("connect", () => resolve(undefined)).once("error", resolve);
    });
    connection.destroy();
    return !/^(ECONNREFUSED|ENOENT)$/.test(anyError(failure).code);
  }

  /** Not all at once: there may be a million. */
  async #list(directory: string, found: (name: string) => void): Promise<void> {
    const opened = await this.#fs.promises.opendir(directory);
    try {
      for (let entry = await opened.read(); entry !== null && this.#home !== undefined; entry = await opened.read())
        if (entry.isFile() && !entry.name.endsWith(DAMAGED)) found(entry.name);
    } finally {
      await opened.close();
    }
  }

  /** Moves a file to our directory. */
  async #take(path: string, own: string) {
    const { copyFile, readFile, rename, unlink } = this.#fs.promises;
    const { logGroupName, logStreamName, events, isTidy, isWhole } = parseSpoolFile(await readFile(path, "utf8"));
    // Different log groups may have the same hash.
    if (logGroupName !== undefined && logGroupName !== this.#logGroupName) return [];
    await rename(path, own);
    if (!isWhole) {
      await copyFile(own, own + DAMAGED);
      this.#reporter.error("ERR_SPOOL", `A file of the spool is damaged, it is kept as ${own}${DAMAGED}`);
    }
    if (events.length === 0) {
      await unlink(own);
      return [];
    }
    // The last line may be torn. Not in the background: after close() the file may be another's.
    if (!isTidy && this.#home !== undefined)
      this.#fs.appendFileSync(own, `${TORN}\n${JSON.stringify({ taken: true })}${SEPARATOR}`);
    const portions = portionsOf(events, this.#maxBytes);
    const pages = { left: portions.length };
    let from = 0;
    return portions.map((events) => {
      const file = { path: own, from, pages };
      from += events.length;
      return { logStreamName, events, file };
    });
  }

  #try(action: () => unknown): boolean {
    try {
      action();
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /** Where a file is gone, another process has taken it. */
  async #later<T>(action: Promise<T>): Promise<T | undefined> {
    return await action.catch((error: unknown) => {
      if (anyError(error).code !== "ENOENT") this.#fail(error);
      return undefined;
    });
  }

  /** Reported once; from then on the logger goes on without the spool. Files that are complete stay valid. */
  #fail(error: unknown): void {
    if (isStackEnd()) throw error;
    if (this.#isOff) return;
    this.#isOff = true;
    const text = `The spool directory cannot be used, the logger goes on without it: ${reasonOf(error)}`;
    this.#reporter.error("ERR_SPOOL", text);
  }
}

/** Reads whole lines only: what follows the last line break was being written when the process died. */
function parseSpoolFile(text: string) {
  const parse = (line: string) => (attempt(() => JSON.parse(line) as unknown, undefined) ?? {}) as Fields;
  const lines = text.split("\n");
  const isTorn = lines.pop() !== "";
  const { logGroupName, logStreamName } = parse(lines.shift() ?? "{}");
  let all: (LogEvent | undefined)[] = [];
  // A file that ends within its header never had an event.
  let isWhole = typeof logStreamName === "string" || text === "" || (isTorn && lines.length === 0);
  for (const line of lines) {
    const { timestamp, message, done, taken } = parse(line.replace(/,$/, ""));
    if (typeof timestamp === "number" && Number.isSafeInteger(timestamp) && typeof message === "string")
      all.push({ timestamp, message: wellFormed(message) });
    else if (Array.isArray(done)) all.fill(undefined, Number(done[0]), Number(done[1]));
    else if (taken === true) {
      all = all.filter((event) => event !== undefined);
      // What was damaged has been copied.
      isWhole = true;
    } else if (!line.endsWith(TORN)) {
      // It takes the place of an event.
      all.push(undefined);
      isWhole = false;
    }
  }
  const events = typeof logStreamName === "string" ? all.flatMap((event) => event ?? []) : [];
  const isTidy = !isTorn && events.length === all.length;
  return { logGroupName, logStreamName: String(logStreamName), events, isTidy, isWhole };
}

/** Events in portions of at most so many bytes, as the service counts. */
function portionsOf(events: LogEvent[], maxBytes: number): LogEvent[][] {
  const bytes = sum(events.map(({ message }) => Buffer.byteLength(message) + LIMITS.eventOverheadBytes));
  if (bytes <= maxBytes || events.length === 1) return [events];
  const middle = events.length >> 1;
  return [events.slice(0, middle), events.slice(middle)].flatMap((half) => portionsOf(half, maxBytes));
}

/** Like `mkdir -p`. Node's own never ends on file systems that take no directories. */
function makeDirectory(path: string): void {
  const fs = process.getBuiltinModule("node:fs");
  if (fs.existsSync(path)) return;
  makeDirectory(process.getBuiltinModule("node:path").dirname(path));
  try {
    fs.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process was quicker.
    if (anyError(error).code !== "EEXIST") throw error;
  }
}

/** FNV-1a, as eight hexadecimal digits. */
function shortHash(text: string): string {
  const hash = Buffer.from(text).reduce((before, byte) => Math.imul(before ^ byte, 0x01000193), 0x811c9dc5);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

// ═══════════════════════════════════════════════ 12 · Stream ════════════════════════════════════════════════

/** Levels of winston and syslog that have other names here. */
const OTHER_LEVELS: Record<string, Level> = {
  http: "info",
  verbose: "debug",
  silly: "trace",
  notice: "info",
  crit: "fatal",
  alert: "fatal",
  emerg: "fatal",
};

/** winston's records have these symbols. */
const WINSTON_LEVEL = Symbol.for("level");
const WINSTON_MESSAGE = Symbol.for("message");

/** What winston sets on its transports, and has on its loggers. */
interface WinstonTransport {
  level?: string;
  silent?: boolean;
  format?: { transform(record: Fields, options?: unknown): unknown; options?: unknown };
  levels?: Record<string, number>;
}

/** Takes what pino, winston, bunyan, morgan and pipes write to its stream, which never emits `'error'`. */
class HostStream {
  readonly stream: Writable & WinstonTransport;
  readonly #core: Core;
  readonly #context: () => Fields | undefined;
  readonly #finish: () => Promise<unknown>;
  readonly #decoder = new (process.getBuiltinModule("node:string_decoder").StringDecoder)("utf8");
  #line = "";
  #winston: WinstonTransport | undefined;
  /** Who pipes honours backpressure, so wait for room; other hosts would only buffer without bound. */
  #mayWait: boolean;

  constructor(core: Core, context: () => Fields | undefined, finish: () => Promise<unknown>, mayWait: boolean) {
    this.#core = core;
    this.#context = context;
    this.#finish = finish;
    this.#mayWait = mayWait;
    const stream = new (process.getBuiltinModule("node:stream").Writable)({
      objectMode: true,
      decodeStrings: false,
      write: (chunk, _encoding, callback) => this.#write(chunk, callback),
      final: (callback) => this.endLine(() => void this.#finish().then(() => callback())),
      // When a source fails, pipeline() destroys this stream. The last line matters most then.
      destroy: (error, callback) => {
        this.endLine();
        callback(error);
      },
    });
    const write = stream.write.bind(stream) as (...given: unknown[]) => boolean;
    this.stream = Object.assign(stream, {
      write: (chunk: unknown, ...rest: unknown[]): boolean => {
        if (!stream.writableEnded && !stream.destroyed && chunk !== null && chunk !== undefined)
          return write(chunk, ...rest);
        core.dropClosed();
        const callback = rest[rest.length - 1];
        if (typeof callback === "function") void Promise.resolve().then(callback as () => void);
        return true;
      },
      /** winston wants a method of this name, but calls `write`. */
      log(record: unknown, callback?: () => void): void {
        stream.write(record);
        callback?.();
      },
      /** pino's `logger.flush(callback)`. */
      flush: (callback?: () => void): void => void core.flush().then(() => callback?.()),
    });
    stream.on("pipe", (source: unknown) => {
      const winston = source as WinstonTransport;
      if (typeof winston.levels === "object") this.#winston = winston;
      else this.#mayWait = true;
    });
    // Such as a write after the end. Unhandled, it would end the process.
    stream.on("error", () => {});
  }

  #write(chunk: unknown, callback: () => void): void {
    if (typeof chunk !== "string" && !isBytes(chunk)) {
      this.#record(chunk);
      callback();
      return;
    }
    const text = isBytes(chunk) ? attempt(() => this.#decoder.write(asBuffer(chunk)), "[unreadable]") : chunk;
    // Only new text is searched, as a line may come in many pieces. A line larger than the queue is cut.
    const lines = text.split("\n");
    lines[0] = this.#line + lines[0];
    const isEndless = (lines[lines.length - 1] as string).length > this.#core.settings.maxQueueBytes;
    this.#line = isEndless ? "" : (lines.pop() as string);
    if (this.#line === "") this.#core.openLines.delete(this);
    else this.#core.openLines.add(this);
    this.#send(lines, callback);
    if (this.#core.isPastExit) this.endLine();
  }

  /** Sends the beginning of a line whose rest will not come. */
  endLine(callback?: () => void): void {
    const line = this.#line + this.#decoder.end();
    this.#line = "";
    this.#core.openLines.delete(this);
    // Nobody waits then.
    if (callback === undefined) this.#mayWait = false;
    this.#send([line], callback ?? (() => {}));
  }

  /** Sends lines at once; or, if the source can wait, as there is room for them. */
  #send(lines: string[], callback: () => void): void {
    for (let index = 0; index < lines.length; index++) {
      const line = (lines[index] as string).replace(/\r$/, "");
      if (line.trim() === "") continue;
      const room = this.#mayWait
        ? this.#core.queue.room(Buffer.byteLength(line) + LIMITS.eventOverheadBytes)
        : undefined;
      if (room !== undefined) {
        void room.then(() => this.#send(lines.slice(index), callback));
        return;
      }
      const value = /^\s*\{/.test(line) ? attempt(() => JSON.parse(line) as unknown, undefined) : undefined;
      const { time, timestamp, level } = (value ?? {}) as Fields;
      this.#core.take("line", levelOf(level) ?? "info", timeOf(time) ?? timeOf(timestamp) ?? Date.now(), line);
    }
    callback();
  }

  #record(given: unknown): void {
    const named = isObject(given) ? read(given, WINSTON_LEVEL) : undefined;
    if (typeof named === "string") {
      if (this.#accepts(named)) this.#winstonRecord(given as Fields, named);
      return;
    }
    if (!isRecord(given)) {
      this.#core.take("host", isError(given) ? "error" : "info", Date.now(), given, [], this.#context());
      return;
    }
    // A raw record of bunyan's, or an object from anybody else.
    const { time, timestamp, level, msg, ...fields } = fieldsOf(given);
    const at = timeOf(time) ?? timeOf(timestamp);
    // What is not used as time or level stays a field.
    if (timeOf(time) === undefined) Object.assign(fields, { time });
    if (timeOf(time) !== undefined || at === undefined) Object.assign(fields, { timestamp });
    if (levelOf(level) === undefined) Object.assign(fields, { level });
    const [message, more] = msg === undefined ? [fields, []] : [msg, [fields]];
    this.#core.take("host", levelOf(level) ?? "info", at ?? Date.now(), message, more, this.#context());
  }

  /** Sends winston's record as the text that its format made; where a format fails, as it was before. */
  #winstonRecord(given: Fields, named: string): void {
    const { format } = this.stream;
    const level = levelOf(named) ?? "info";
    const at = timeOf(read(given, "timestamp")) ?? Date.now();
    let record: object = given;
    try {
      if (format !== undefined) {
        const result = format.transform({ ...given }, format.options);
        // The format has filtered it out.
        if (!isObject(result)) return;
        record = result;
      }
    } catch (failure) {
      this.#core.reportFailure("ERR_FORMAT", "A winston transport's format failed, its records go without", failure);
    }
    const text = read(record, WINSTON_MESSAGE);
    const fields = fieldsOf(record);
    delete fields["level"];
    if (typeof text === "string") this.#core.take("line", level, at, text);
    else this.#core.take("host", level, at, fields, [], this.#context());
    // winston ends the process within 3 s of an exception.
    if (fields["exception"] === true) this.#core.queue.sendSoon();
    void Promise.resolve().then(() => this.stream.emit("logged", given));
  }

  /** As in winston: the transport's level decides, or else the logger's. */
  #accepts(level: string): boolean {
    const { silent, levels = this.#winston?.levels, level: threshold = this.#winston?.level } = this.stream;
    if (silent === true) return false;
    if (levels === undefined || threshold === undefined) return true;
    return (levels[threshold] ?? Number.POSITIVE_INFINITY) >= (levels[level] ?? 0);
  }
}

/** A level by number (pino, bunyan: 10 to 60) or by name, in any case. */
function levelOf(level: unknown): Level | undefined {
  if (typeof level === "number") {
    const names = (Object.keys(LEVELS) as Threshold[]).filter((name) => name !== "silent" && LEVELS[name] <= level);
    return (names[names.length - 1] ?? "trace") as Level;
  }
  const name = typeof level === "string" ? level.toLowerCase() : "";
  return levelNamed(name) ?? (hasOwn(OTHER_LEVELS, name) ? OTHER_LEVELS[name] : undefined);
}

const YEAR_2000_MS = 946_684_800_000;
const YEAR_2100_MS = 4_102_444_800_000;
/** How ISO 8601 and RFC 9110 dates begin. Date.parse would take "attempt 5" for a date. */
const DATE = /^(\d{4}-\d\d-\d\d|[A-Z][a-z]{2},? )/;

/** A plausible time, ms since the epoch, from a number (ms, or pino's seconds or nanoseconds), a date or its text. */
function timeOf(time: unknown): number | undefined {
  let ms = Number.NaN;
  if (typeof time === "number") ms = time;
  else if (typeof time === "string") ms = /^\d+$/.test(time) ? Number(time) : DATE.test(time) ? Date.parse(time) : ms;
  else if (types().isDate(time)) ms = Date.prototype.getTime.call(time);
  if (ms < 1e11) ms *= 1_000;
  else if (ms > 1e17) ms /= 1e6;
  else if (ms > 1e14) ms /= 1e3;
  return ms >= YEAR_2000_MS && ms < YEAR_2100_MS ? Math.floor(ms) : undefined;
}

// ══════════════════════════════════════════════ 13 · Utilities ══════════════════════════════════════════════

type Rule = readonly [type: string, words: string, isValid?: (value: never) => boolean];

const MAX_TIMER_MS = 2 ** 31 - 1;
const isInteger = (from: number, to: number, words = `an integer from ${from} to ${to}`): Rule => [
  "number",
  words,
  (value: number) => Number.isInteger(value) && value >= from && value <= to,
];
const isOneOf = (...values: readonly unknown[]): Rule => [
  values.map((value) => typeof value).join("|"),
  `one of ${values.join(", ")}`,
  (value: unknown) => values.includes(value),
];
const isText = (words: string, isValid = (text: string) => text !== ""): Rule => ["string", words, isValid];
const NAME = `1 to ${LIMITS.maxNameLength} characters`;

/** Type, rule and test of each option: what can be checked up front. */
const RULES: Record<string, Rule> = {
  logStreamName: isText(`${NAME} without ":" and "*"`, isStreamName),
  region: isText("the name of a region"),
  profile: isText("the name of a profile"),
  credentials: ["object|function", '"accessKeyId" and "secretAccessKey" together, or a function', isCredentials],
  endpoint: isText("an http or https URL", (url) => /^https?:$/.test(new URL(url).protocol)),
  client: ["object", "a CloudWatchLogsClient", (client: Client) => typeof client.send === "function"],
  createLogGroup: isOneOf(true, false),
  retentionInDays: isOneOf(...LIMITS.retentionInDays),
  tags: ["object", "up to 50 tags, keys of 1 to 128 characters, values of up to 256", isTags],
  kmsKeyId: isText("1 to 256 characters", ({ length }) => length > 0 && length <= LIMITS.maxKmsKeyIdLength),
  logGroupClass: isOneOf("STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"),
  entity: ["object", '2 to 4 "keyAttributes" and up to 10 "attributes", all strings', isEntity],
  level: isText(
    `one of ${Object.keys(LEVELS).join(", ")}, warning, in any case`,
    (name) => thresholdOf(name) !== undefined,
  ),
  fields: ["object|function", "an object or a function"],
  format: ["string|function", '"json", "text", a template or a function', (format: unknown) => format !== ""],
  redact: ["object", "an array of names and dotted paths", isTexts],
  console: isOneOf(true, false, "text"),
  overflow: isOneOf("error", "truncate", "split"),
  maxEventBytes: isInteger(LIMITS.minEventBytes, LIMITS.maxBatchBytes),
  maxBatchBytes: isInteger(LIMITS.minEventBytes, LIMITS.maxBatchBytes),
  maxBatchEvents: isInteger(1, LIMITS.maxBatchEvents),
  flushIntervalMs: isInteger(1, MAX_TIMER_MS, "a positive integer"),
  maxInFlight: isInteger(1, 16),
  maxQueueBytes: isInteger(LIMITS.minEventBytes, Number.MAX_SAFE_INTEGER),
  compress: isOneOf(true, false),
  spoolDirectory: isText(
    `the path of a directory, of up to ${MAX_SOCKET_PATH_BYTES - OWNER_NAME_BYTES} bytes`,
    isSpoolPath,
  ),
  closeTimeoutMs: isInteger(0, MAX_TIMER_MS),
  closeOnSignals: ["object", "an array of signals that can be caught", isSignals],
  onError: ["function", "a function"],
  onLoss: ["function", "a function"],
};

const LOG_GROUP_RULE = isText(
  `${NAME} of . _ - / # A-Z a-z 0-9, not starting with "aws/"`,
  (name) => /^(?!aws\/)[._\-/#A-Za-z0-9]+$/.test(name) && name.length <= LIMITS.maxNameLength,
);

function validate(logGroupName: unknown, options: CloudwatchLoggerOptions): Settings {
  if (logGroupName === undefined) refuse(TypeError, "logGroupName", "must be a log group, or null to print", undefined);
  if (logGroupName !== null) check("logGroupName", logGroupName, LOG_GROUP_RULE);
  if (!isObject(options)) refuse(TypeError, "options", "must be an object", options);
  const given: Fields = {};
  for (const [name, value] of Object.entries(options)) {
    if (!hasOwn(RULES, name)) throw new TypeError(`Cannot create CloudwatchLogger: unknown option ${show(name)}`);
    if (value === undefined) continue;
    check(name, value);
    given[name] = value;
  }
  const excluded = ["region", "profile", "credentials", "endpoint"].find((name) => given[name] !== undefined);
  if (given["client"] !== undefined && excluded !== undefined)
    throw new TypeError(`Cannot create CloudwatchLogger: "client" excludes "${excluded}"`);
  const settings = { ...DEFAULTS, ...given } as Settings;
  const { maxBatchBytes, maxQueueBytes, spoolDirectory, fields } = settings;
  settings.maxEventBytes ??= maxBatchBytes;
  const rule = `"maxBatchBytes", ${maxBatchBytes}`;
  if (settings.maxEventBytes > maxBatchBytes)
    refuse(RangeError, "maxEventBytes", `must be at most ${rule}`, settings.maxEventBytes);
  if (maxQueueBytes < maxBatchBytes) refuse(RangeError, "maxQueueBytes", `must be at least ${rule}`, maxQueueBytes);
  // The program may later change its working directory and these objects.
  if (spoolDirectory !== undefined)
    settings.spoolDirectory = process.getBuiltinModule("node:path").resolve(spoolDirectory);
  if (typeof fields === "object") settings.fields = fieldsOf(fields);
  return settings;
}

function check(name: string, value: unknown, [type, words, isValid]: Rule = RULES[name] as Rule): void {
  const isType = type.split("|").includes(typeof value) && value !== null;
  if (isType && (isValid === undefined || attempt(() => isValid(value as never), false))) return;
  refuse(isType && typeof value !== "object" ? RangeError : TypeError, name, `must be ${words}`, value);
}

function refuse(Kind: new (text: string) => Error, name: string, rule: string, value: unknown): never {
  // Secrets may be in credentials, in a client, and in a URL.
  const isUnclear = name === "endpoint" && typeof value === "string" && /[?#].*@/s.test(value);
  const isOdd = isObject(value) && !["tags", "entity", "redact", "closeOnSignals"].includes(name);
  const isSecret = name === "credentials" || name === "client" || isOdd || isUnclear;
  const [address] = name === "endpoint" && typeof value === "string" ? value.split(/[?#]/, 1) : [];
  const seen = address === undefined ? value : address.slice(address.lastIndexOf("@") + 1);
  const shown = isSecret ? `a value of type ${typeof value}` : show(seen);
  throw new Kind(`Cannot create CloudwatchLogger: "${name}" ${rule}, received ${shown}`);
}

function show(value: unknown): string {
  const inspected = () => process.getBuiltinModule("node:util").inspect(value, { depth: 1, breakLength: Infinity });
  return attempt(typeof value === "string" ? () => JSON.stringify(value) : inspected, "a hostile value").slice(0, 200);
}

function isStreamName(template: string): boolean {
  const { length } = fillName(template, 0).split("{date}").join("YYYY-MM-DD");
  return length > 0 && length <= LIMITS.maxNameLength && !/[:*]/.test(template);
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((text) => typeof text === "string" && text !== "");
}

function isCredentials(value: Credentials | (() => unknown)): boolean {
  if (typeof value === "function") return true;
  const { accessKeyId, secretAccessKey, sessionToken = "none" } = value;
  return isTexts([accessKeyId, secretAccessKey, sessionToken]);
}

function isTags(tags: object): boolean {
  const { maxTags, maxTagKeyLength, maxTagValueLength } = LIMITS;
  const isTag = ([key, value]: [string, unknown]) =>
    key !== "" && key.length <= maxTagKeyLength && typeof value === "string" && value.length <= maxTagValueLength;
  return !Array.isArray(tags) && Object.keys(tags).length <= maxTags && Object.entries(tags).every(isTag);
}

function isEntity({ keyAttributes = {}, attributes = {} }: NonNullable<CloudwatchLoggerOptions["entity"]>): boolean {
  const [keys, others] = [Object.values(keyAttributes), Object.values(attributes)];
  return keys.length >= 2 && keys.length <= 4 && others.length <= 10 && isTexts([...keys, ...others]);
}

function isSpoolPath(path: string): boolean {
  const { length } = Buffer.from(process.getBuiltinModule("node:path").resolve(path));
  return path !== "" && (process.platform === "win32" || length <= MAX_SOCKET_PATH_BYTES - OWNER_NAME_BYTES);
}

function isSignals(names: unknown): boolean {
  const { signals } = process.getBuiltinModule("node:os").constants;
  return Array.isArray(names) && names.every((name: string) => !/^SIG(KILL|STOP)$/.test(name) && hasOwn(signals, name));
}

/** The threshold with that name, if there is one. */
function thresholdOf(name: unknown): Threshold | undefined {
  const level = typeof name === "string" ? name.toLowerCase() || DEFAULTS.level : "";
  const known = level === "warning" ? "warn" : level;
  return hasOwn(LEVELS, known) ? (known as Threshold) : undefined;
}

/** The weight of a threshold; an unknown one counts as `info`. */
function weightOf(name: unknown): number {
  return LEVELS[thresholdOf(name) ?? "info"];
}

function levelNamed(name: unknown): Level | undefined {
  const level = name === "" ? undefined : thresholdOf(name);
  return level === "silent" ? undefined : level;
}

/** Fills in what is known at construction; `{date}` stays. */
function fillName(template: string, madeAt: number): string {
  const micros = () => String(process.hrtime()[1] % 1_000).padStart(3, "0");
  const values: Record<string, () => string> = {
    timestamp: () => new Date(madeAt).toISOString().replace(/\D/g, "") + micros(),
    random: () => randomDigits(3),
    hostname: () => process.getBuiltinModule("node:os").hostname(),
    pid: () => String(process.pid),
    program: () => process.getBuiltinModule("node:path").parse(process.argv[1] ?? "node").name,
  };
  return template.replace(/\{(timestamp|random|hostname|pid|program)\}/g, (_, name: string) =>
    (values[name] as () => string)().replace(/[:*]/g, "-"),
  );
}

/** Random digits to tell things apart, not to keep a secret: loading node:crypto takes as long as this whole file. */
function randomDigits(count: number): string {
  return String(Math.floor(Math.random() * 10 ** count)).padStart(count, "0");
}

/**
 * Node's modules come when they are needed: to import them all would take longer than everything else in this file. No
 * bundler and no test runner changes `process.getBuiltinModule`, which Node.js has since 20.16.
 */
const types = () => process.getBuiltinModule("node:util").types;

/**
 * A timer of Node's, whatever a test runner has made of the global ones; returns what stops it. One that has fired is left
 * alone: some mocks would stop another in its place.
 */
function startTimer(action: () => void, ms: number): Stop {
  const { setTimeout, clearTimeout } = process.getBuiltinModule("node:timers");
  // Near the end of the stack a timer could be left half made, which Node.js cannot cope with.
  if (isStackEnd()) throw new RangeError("Maximum call stack size exceeded");
  let timer: NodeJS.Timeout | undefined = setTimeout(
    () => {
      timer = undefined;
      action();
    },
    Math.min(ms, MAX_TIMER_MS),
  );
  timer.unref();
  return () => {
    if (timer !== undefined) clearTimeout(timer);
    timer = undefined;
  };
}

type Stop = () => void;

/** Keeps the process alive until it is closed, even where timers are mocked. */
function stayAlive(): { close(): void } {
  const { port1 } = new (process.getBuiltinModule("node:worker_threads").MessageChannel)();
  port1.on("message", () => {});
  return port1;
}

/** Own enumerable properties of several objects, where later ones win. If a property throws, each is read separately. */
function fieldsOf(a?: object, b?: object, c?: object): Fields {
  try {
    // An object that is copied first keeps its hidden class, with which JSON.stringify is faster.
    if (a === undefined) return b === undefined ? { ...c } : { ...b, ...c };
    return { ...a, ...b, ...c };
  } catch (error) {
    if (isStackEnd()) throw error;
    const layers = [a, b, c].filter(isObject);
    const entries = layers.flatMap((layer) => keysOf(layer).map((name) => [name, read(layer, name)] as const));
    return Object.fromEntries(entries);
  }
}

const keysOf = (object: object): string[] => attempt(() => Object.keys(object), []);

function read(object: object, key: PropertyKey): unknown {
  try {
    return (object as Record<PropertyKey, unknown>)[key];
  } catch (error) {
    return unreadable(error);
  }
}

/** Why something threw, whatever it threw. */
function reasonOf(error: unknown): string {
  return attempt(() => String(isError(error) ? error.message : error).slice(0, 200), "unknown reason");
}

/** Whether the stack is used up here. After a getter that recurses for ever there is enough left again. */
function isStackEnd(): boolean {
  const descend = (depth: number): number => (depth === 0 ? 0 : 1 + descend(depth - 1));
  try {
    return descend(300) < 0;
  } catch {
    return true;
  }
}

function attempt<T, U>(action: () => T, otherwise: U): T | U {
  try {
    return action();
  } catch (error) {
    // With no stack left anything may fail, and an event would lose content at random: let the log call throw.
    if (isStackEnd()) throw error;
    return otherwise;
  }
}

/** Ignores a callback's result: if it is a promise that rejects, that would end the process. */
function ignore(result: unknown): void {
  new Promise((resolve) => resolve(result)).catch(() => {});
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** Fields, or `undefined` where JavaScript gave something else. */
function objectOf(value: unknown): object | undefined {
  return isObject(value) ? value : undefined;
}

function isBytes(value: unknown): value is Uint8Array {
  return types().isUint8Array(value);
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function isError(value: unknown): value is Error {
  const isOne = (object: object) => !isPlain(object) && (types().isNativeError(object) || object instanceof Error);
  return isObject(value) && attempt(() => isOne(value), false);
}

/** Whether a value's own properties are what it says, as opposed to arrays, Maps, Errors and the like. */
function isRecord(value: unknown): value is object {
  if (!isObject(value)) return false;
  const hasContent = () => {
    // toJSON() decides what it says.
    if (typeof (value as { toJSON?: unknown }).toJSON === "function") return false;
    if (isPlain(value)) return true;
    if (Array.isArray(value) || ArrayBuffer.isView(value) || isError(value)) return false;
    const { isMap, isSet, isRegExp, isBoxedPrimitive, isPromise } = types();
    if ([isMap, isSet, isRegExp, isBoxedPrimitive, isPromise].some((is) => is(value))) return false;
    return keysOf(value).length > 0;
  };
  return attempt(hasContent, false);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** A lone surrogate becomes U+FFFD, as in UTF-8. */
function wellFormed(text: string): string {
  return (text as { toWellFormed?(): string }).toWellFormed?.() ?? text;
}

/** The name of the function that called the log method, which called `below`. */
function callerName(below: (...args: never[]) => void): string {
  const holder: { stack?: string } = {};
  attempt(() => Error.captureStackTrace?.(holder, below), undefined);
  // Line 0 is the header, 1 the log method, 2 its caller.
  const line = attempt(() => String(holder.stack), "").split("\n")[2] ?? "";
  return /^\s*at (?:async )?(?:new )?([^\s(]+) (?:\[as [^\]]+\] )?\(/.exec(line)?.[1] ?? "<anonymous>";
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** `12:01:02.123`, in the time zone of whoever reads it. */
function clockTime(timestamp: number): string {
  const date = new Date(timestamp);
  return date.toTimeString().slice(0, 8) + date.toISOString().slice(19, 23);
}

function counted(events: number): string {
  return events === 1 ? "1 log event was" : `${events} log events were`;
}

function describeLoss({ reason, count, cause }: Loss): string {
  const what = /^(too|expired|invalid)/.test(reason) ? "rejected" : "dropped";
  return `${counted(count)} ${what} (${reason})${cause ? `: ${cause.name}: ${cause.message}` : ""}`;
}

/** Prints a line of JSON for each event, without control characters. Returns the rest of the time for it, ms. */
function printEvents(events: LogEvent[], printMs: number): number {
  return writeStderr(events.map((event) => `${escapeControls(JSON.stringify(event))}\n`).join(""), printMs);
}

/**
 * Synchronously, so that it works while the process exits; past the stream, whose errors could end the process. Where nobody
 * reads a full pipe, it is given up after about `ms`; returns how much of that is left.
 */
function writeStderr(text: string, ms: number): number {
  const bytes = Buffer.from(text);
  let left = ms;
  // Once Node.js has opened its stream, a full pipe throws EAGAIN instead of blocking.
  attempt(() => process.stderr, undefined);
  for (let at = 0; at < bytes.length && left > 0; ) {
    try {
      at += process.getBuiltinModule("node:fs").writeSync(2, bytes, at);
    } catch (error) {
      if (anyError(error).code !== "EAGAIN") return left;
      // Give the reader a moment. Count tries, not time: a mocked clock may stand still.
      left--;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
  return left;
}

/** The colours of levels on a terminal. */
const COLOURS: Record<Level, number> = { trace: 90, debug: 90, info: 36, warn: 33, error: 31, fatal: 35 };

function print(level: Level, text: string, isColoured: boolean): void {
  const method = level === "fatal" ? "error" : level === "trace" ? "debug" : level;
  const isTTY = attempt(() => (method === "warn" || method === "error" ? process.stderr : process.stdout).isTTY, false);
  const name = LEVEL_NAMES[level];
  const hasColour = isColoured && isTTY === true && process.env["NO_COLOR"] === undefined;
  const line = printable(text);
  const shown = hasColour ? line.replace(name, `\u001b[${COLOURS[level]}m${name}\u001b[39m`) : line;
  attempt(() => console[method]("%s", shown), undefined);
}

function escapeControls(text: string): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return text.replace(/[^\P{Cc}\t\n]/gu, escaped);
}

/** Text for terminals: without escape sequences, further lines indented. */
function printable(text: string): string {
  return escapeControls(text).replace(/\n/g, "\n  ");
}

/** The loggers that must be told about the end of the process. */
const openLoggers = new Set<Core>();

function watchProcess(core: Core): void {
  if (openLoggers.size === 0) process.on("beforeExit", onBeforeExit).on("exit", onExit);
  openLoggers.add(core);
  for (const signal of core.signals) {
    if (!process.listeners(signal).includes(onSignal)) process.prependListener(signal, onSignal);
  }
}

function unwatchProcess(core: Core): void {
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
  let leftMs = STDERR_EXIT_MS;
  for (const core of openLoggers) leftMs = core.exit(leftMs);
}

/** Marks our listeners: a program may have loaded several copies of this file. */
const IS_CWLOGGER = Symbol.for("cwlogger.onSignal");
/** Signals on which the loggers are closing now. */
const endingSignals = new Set<string>();

const onSignal = Object.assign(
  (signal: NodeJS.Signals): void => {
    const loggers = [...openLoggers];
    if (isHandled(signal)) {
      // The program's handlers decide about the end. What they log now is delivered, too.
      void Promise.resolve().then(() => loggers.map((core) => core.flush(undefined, true)));
    } else if (endingSignals.has(signal)) {
      raise(signal);
    } else {
      endingSignals.add(signal);
      void Promise.all(loggers.map((core) => core.close())).then(() => raise(signal));
    }
  },
  { [IS_CWLOGGER]: true },
);

/** Whether the program handles a signal itself. Listeners of signal-exit, which counts them, only watch. */
function isHandled(signal: NodeJS.Signals): boolean {
  const emitters = [
    (globalThis as Record<symbol, unknown>)[Symbol.for("signal-exit emitter")],
    (process as unknown as Fields)["__signal_exit_emitter__"],
  ] as ({ count?: unknown } | undefined)[];
  const watching = sum(emitters.map((emitter) => Number(emitter?.count ?? 0)));
  return process.listeners(signal).filter((listener) => !(IS_CWLOGGER in listener)).length > watching;
}

/** Lets the signal take its usual effect, once the last copy of this file is done. */
function raise(signal: NodeJS.Signals): void {
  process.off(signal, onSignal);
  if (process.listeners(signal).some((listener) => IS_CWLOGGER in listener)) return;
  // The kernel ignores signals that pid 1 sends to itself.
  if (process.pid === 1) process.exit(128 + process.getBuiltinModule("node:os").constants.signals[signal]);
  process.kill(process.pid, signal);
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
