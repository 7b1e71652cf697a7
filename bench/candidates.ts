/** Everything that is measured: how each logger is set up, how it is given an event, and when it is done. */
import type { CloudWatchLogsClientConfig } from "@aws-sdk/client-cloudwatch-logs";
import type { CloudwatchLoggerOptions } from "../cloudwatch.ts";
import type { Item } from "./records.ts";

/** Where the local service is. No credentials in here are real. */
export const ACCESS = {
  region: "us-east-1",
  credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" },
};
export const LOG_GROUP = "bench";
const LOG_STREAM = "bench-stream";

/** A logger under test. */
export interface Logger {
  log(item: Item): void;
  /** Events that wait: in the queue or in flight. */
  pending(): number;
  /** Resolves when everything that was logged has been answered. */
  flush(): Promise<unknown>;
}

export interface Candidate {
  /** What it is, with the settings that differ from its defaults. */
  label: string;
  /** `limit`: what there is to compare with, but sends nothing anywhere. */
  role: "ours" | "peer" | "limit";
  /** A burst stops while this many events wait, so that nothing is lost; the value that is fastest for the logger. */
  maxPending: number;
  /** Most events that a burst has; for the one that takes a second for each batch. */
  maxEvents?: number;
  open(endpoint: string, options: OpenOptions): Promise<Logger>;
}

export interface OpenOptions {
  /** For loggers that count events and not bytes: how many fit a batch. */
  batchEvents: number;
  /** Between two uploads, for loggers that work by the clock. */
  pauseMs: number;
  /** Text without JSON around it. */
  isText: boolean;
  /** More options for cwlogger. */
  cwlogger?: CloudwatchLoggerOptions;
}

const NOTHING_PENDING = { pending: () => 0, flush: async () => {} };

export const CANDIDATES = {
  "JSON.stringify": {
    label: "JSON.stringify of the record alone",
    role: "limit",
    maxPending: Infinity,
    async open() {
      let characters = 0;
      const log = ({ record }: Item) => {
        characters += JSON.stringify(record).length;
      };
      return { log, pending: () => (characters < 0 ? 1 : 0), flush: async () => {} };
    },
  },
  "idle loop": {
    label: "the same timers, nothing logged",
    role: "limit",
    maxPending: Infinity,
    async open() {
      return { log() {}, ...NOTHING_PENDING };
    },
  },
  "console.log to /dev/null": {
    label: "console.log(JSON.stringify(record))",
    role: "limit",
    maxPending: Infinity,
    async open() {
      return { log: ({ record }) => console.log(JSON.stringify(record)), ...NOTHING_PENDING };
    },
  },
  "pino to /dev/null": {
    label: "sync, no pid and hostname",
    role: "limit",
    maxPending: Infinity,
    async open() {
      const { pino } = await import("pino");
      const logger = pino({ base: null }, pino.destination({ dest: "/dev/null", sync: true }));
      return { log: pinoCall(logger), ...NOTHING_PENDING };
    },
  },
  "plain SDK logger": {
    label: "JSON.stringify, queue, client.send of full batches, four in flight",
    role: "peer",
    maxPending: 30_000,
    open: async (endpoint, { isText }) => plainLogger(endpoint, isText, 4),
  },
  cwlogger: {
    label: "cwlogger, default options",
    role: "ours",
    maxPending: 30_000,
    open: (endpoint, options) => cwlogger(endpoint, options),
  },
  "cwlogger, one in flight": {
    label: "cwlogger, maxInFlight 1",
    role: "ours",
    maxPending: 30_000,
    open: (endpoint, options) => cwlogger(endpoint, { ...options, cwlogger: { maxInFlight: 1 } }),
  },
  "cwlogger, 16 in flight": {
    label: "cwlogger, maxInFlight 16",
    role: "ours",
    maxPending: 80_000,
    open: (endpoint, options) => cwlogger(endpoint, { ...options, cwlogger: { maxInFlight: 16 } }),
  },
  "aws-cloudwatch-log": {
    label: "one log() call for each full batch; it has no size limits of its own",
    role: "peer",
    maxPending: 13_000,
    open: awsCloudwatchLog,
  },
  "winston-cloudwatch": {
    label: "uploadRate 1 ms (steady: 200 ms), messageFormatter JSON.stringify, no winston format",
    role: "peer",
    maxPending: 7_000,
    open: winstonCloudwatch,
  },
  "winston-aws-cloudwatch": {
    label:
      "submissionInterval 0 (steady: 200 ms), batchSize of a full batch, undocumented highWaterMark, connections kept, " +
      "no parameter validation",
    role: "peer",
    maxPending: 10_000,
    open: winstonAwsCloudwatch,
  },
  "@serdnam/pino-cloudwatch-transport": {
    label: "in pino's worker thread; sends one batch a second whatever its interval",
    role: "peer",
    maxPending: Infinity,
    maxEvents: 10_000,
    open: pinoCloudwatchTransport,
  },
} satisfies Record<string, Candidate>;

export type CandidateName = keyof typeof CANDIDATES;

export function candidateOf(name: CandidateName): Candidate {
  return CANDIDATES[name];
}

/** The compiled logger next to this file: no TypeScript loader runs in a measured process. */
export const CWLOGGER = new URL("./cloudwatch.mjs", import.meta.url).href;

async function cwlogger(endpoint: string, { isText, cwlogger = {} }: OpenOptions): Promise<Logger> {
  const { CloudwatchLogger } = (await import(CWLOGGER)) as typeof import("../cloudwatch.ts");
  const format = isText ? { format: "{message}" } : {};
  const logger = new CloudwatchLogger(LOG_GROUP, { ...ACCESS, endpoint, ...format, ...cwlogger });
  return {
    log: ({ message, fields }) => logger.info(message, fields),
    pending: () => logger.stats().pending,
    flush: () => logger.flush(),
  };
}

/** What one would write in an afternoon: correct within the limits, no retries, no bound, no order between batches. */
async function plainLogger(endpoint: string, isText: boolean, maxInFlight: number): Promise<Logger> {
  const { CloudWatchLogsClient, PutLogEventsCommand } = await import("@aws-sdk/client-cloudwatch-logs");
  const config: CloudWatchLogsClientConfig = { ...ACCESS, endpoint };
  const client = new CloudWatchLogsClient(config);
  const names = { logGroupName: LOG_GROUP, logStreamName: LOG_STREAM };
  const full: { timestamp: number; message: string }[][] = [];
  let batch: { timestamp: number; message: string }[] = [];
  let batchBytes = 0;
  let inFlight = 0;
  let pending = 0;
  let timer: NodeJS.Timeout | undefined;
  let onIdle: (() => void) | undefined;

  function cut() {
    clearTimeout(timer);
    timer = undefined;
    if (batch.length > 0) full.push(batch);
    batch = [];
    batchBytes = 0;
    send();
  }

  function send() {
    for (; inFlight < maxInFlight && full.length > 0; inFlight++) {
      const logEvents = full.shift() ?? [];
      client.send(new PutLogEventsCommand({ ...names, logEvents })).then(() => {
        pending -= logEvents.length;
        inFlight--;
        send();
        if (pending === 0) onIdle?.();
      });
    }
  }

  return {
    log({ message, record }) {
      const text = isText ? message : JSON.stringify(record);
      const bytes = Buffer.byteLength(text) + 26;
      if (batchBytes + bytes > 1_048_576 || batch.length === 10_000) cut();
      batch.push({ timestamp: Date.now(), message: text });
      batchBytes += bytes;
      pending++;
      timer ??= setTimeout(cut, 1_000);
    },
    pending: () => pending,
    flush: () =>
      new Promise<void>((resolve) => {
        onIdle = resolve;
        cut();
        if (pending === 0) resolve();
      }),
  };
}

async function winstonCloudwatch(endpoint: string, { pauseMs }: OpenOptions): Promise<Logger> {
  const { default: winston } = await import("winston");
  const { default: WinstonCloudWatch } = await import("winston-cloudwatch");
  const { CloudWatchLogs } = await import("@aws-sdk/client-cloudwatch-logs");
  const cloudWatchLogs = new CloudWatchLogs({ ...ACCESS, endpoint });
  let inFlight = 0;
  const putLogEvents = cloudWatchLogs.putLogEvents.bind(cloudWatchLogs) as (...given: unknown[]) => void;
  Object.assign(cloudWatchLogs, {
    putLogEvents(input: { logEvents: unknown[] }, callback: (...answer: unknown[]) => void) {
      inFlight += input.logEvents.length;
      putLogEvents(input, (...answer: unknown[]) => {
        inFlight -= input.logEvents.length;
        callback(...answer);
      });
    },
  });
  const transport = new WinstonCloudWatch({
    cloudWatchLogs,
    logGroupName: LOG_GROUP,
    logStreamName: LOG_STREAM,
    uploadRate: Math.max(1, pauseMs),
    messageFormatter: (info) => JSON.stringify(info),
  });
  const logger = winston.createLogger({ format: winston.format((info) => info)(), transports: [transport] });
  const pending = () => transport.logEvents.length + inFlight;
  return {
    log: ({ message, fields }) => logger.info(message, fields),
    pending,
    async flush() {
      while (pending() > 0) await sleep(1);
    },
  };
}

async function winstonAwsCloudwatch(endpoint: string, { batchEvents, pauseMs }: OpenOptions): Promise<Logger> {
  process.env.AWS_NODEJS_CONNECTION_REUSE_ENABLED = "1";
  process.env.AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE = "1";
  const { default: winston } = await import("winston");
  const { default: CloudWatchTransport } = await import("winston-aws-cloudwatch");
  const transport = new CloudWatchTransport({
    logGroupName: LOG_GROUP,
    logStreamName: LOG_STREAM,
    createLogGroup: true,
    createLogStream: true,
    submissionInterval: pauseMs,
    batchSize: batchEvents,
    highWaterMark: batchEvents,
    awsConfig: { region: ACCESS.region, ...ACCESS.credentials, endpoint, paramValidation: false },
    formatLog: ({ level, message, meta }: { level: string; message: string; meta: object }) =>
      JSON.stringify({ level, message, ...meta }),
  });
  const logger = winston.createLogger({ format: winston.format((info) => info)(), transports: [transport] });
  let logged = 0;
  let delivered = 0;
  const submit = transport.log.bind(transport);
  transport.log = (info, callback) =>
    submit(info, (...answer) => {
      delivered++;
      callback(...answer);
    });
  const pending = () => logged - delivered;
  return {
    log({ message, fields }) {
      logged++;
      logger.info(message, fields);
    },
    pending,
    async flush() {
      while (pending() > 0) await sleep(1);
    },
  };
}

/** Its endpoint is fixed, so that its HTTP client is told the way; it offers no means to wait for an answer either. */
async function awsCloudwatchLog(endpoint: string, { batchEvents, isText }: OpenOptions): Promise<Logger> {
  const { createRequire } = await import("node:module");
  const requirePeer = createRequire(createRequire(import.meta.url).resolve("aws-cloudwatch-log"));
  const axios = requirePeer("axios") as { defaults: { adapter: (config: object) => Promise<unknown> } };
  const sendHttp = axios.defaults.adapter;
  let inFlight = 0;
  axios.defaults.adapter = async (config) => {
    inFlight++;
    try {
      return await sendHttp({ ...config, baseURL: undefined, url: endpoint });
    } finally {
      inFlight--;
    }
  };
  const { Logger } = await import("aws-cloudwatch-log");
  const names = { logGroupName: LOG_GROUP, logStreamName: LOG_STREAM, region: ACCESS.region };
  const logger = new Logger({ ...names, ...ACCESS.credentials });
  let batch: unknown[] = [];
  let timer: NodeJS.Timeout | undefined;
  const send = () => {
    clearTimeout(timer);
    timer = undefined;
    if (batch.length > 0) logger.log(...batch);
    batch = [];
  };
  const pending = () => inFlight * batchEvents + batch.length;
  return {
    log({ message, record }) {
      batch.push(isText ? message : record);
      if (batch.length >= batchEvents) send();
      timer ??= setTimeout(send, 1_000);
    },
    pending,
    async flush() {
      send();
      do await sleep(1);
      while (pending() > 0);
    },
  };
}

async function pinoCloudwatchTransport(endpoint: string): Promise<Logger> {
  process.env.AWS_ENDPOINT_URL_CLOUDWATCH_LOGS = endpoint;
  const { pino } = await import("pino");
  const transport = pino.transport({
    target: "@serdnam/pino-cloudwatch-transport",
    options: {
      logGroupName: LOG_GROUP,
      logStreamName: LOG_STREAM,
      awsRegion: ACCESS.region,
      awsAccessKeyId: ACCESS.credentials.accessKeyId,
      awsSecretAccessKey: ACCESS.credentials.secretAccessKey,
    },
  });
  const logger = pino({ base: null }, transport);
  return {
    log: pinoCall(logger),
    pending: () => 0,
    async flush() {
      transport.end();
      while (!transport.closed) await sleep(1);
    },
  };
}

function pinoCall(logger: import("pino").Logger): Logger["log"] {
  return ({ message, fields }) => (fields ? logger.info(fields, message) : logger.info(message));
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
