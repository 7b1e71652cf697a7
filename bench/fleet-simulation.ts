/**
 * Loggers under one quota, simulated: what a rule for pauses and waiting times does, in milliseconds instead of minutes,
 * and the same again with the same seed. RULE is what `cloudwatch.ts` does; its constants were chosen with this file.
 */

export interface Scenario {
  loggers: number;
  /** Each logger logs so many events per second, for so long; then all flush. */
  perSecond: number;
  forMs: number;
  flushIntervalMs: number;
  /** Calls per second, counted as the local service does: a token bucket of one second. */
  putPerSecond: number;
  createPerSecond: number;
  /** How long an answer takes. */
  latencyMs: Range;
  /** Every call is throttled meanwhile. */
  outageMs?: Range;
}

type Range = readonly [from: number, to: number];

export const RULE = {
  /** A pause is the pace times a number between these. */
  pause: [0.5, 1.5] as Range,
  /** What a throttled answer multiplies the pace by, and up to where. */
  growth: 1.5,
  maxPaceMs: 30_000,
  /** The pace comes back to `flushIntervalMs` within this time after the last throttled answer. */
  recoveryMs: 50_000,
  /** While the pace is above `flushIntervalMs`, a batch fills for the pace times this. */
  fill: 1.5,
  /** No pause is longer than a number between these while somebody flushes. */
  flushPauseMs: [300, 600] as Range,
  /** A throttled batch takes along what was logged since. */
  takesAlong: true,
};

interface Logger {
  isCreated: boolean;
  /** When the events of the open batch were logged, and those of the batch that is being sent. */
  open: number[];
  sending: number[];
  paceMs: number;
  throttledAt: number;
  /** When the pause ends, if there is one. */
  pauseEnd?: number | undefined;
}

export interface Call {
  at: number;
  isThrottled: boolean;
}

/** `puts`: those that got through, with the time that their oldest event had waited. */
export function simulate(scenario: Scenario, seed = 1, change: Partial<typeof RULE> = {}) {
  const { flushIntervalMs, outageMs = [0, 0] } = scenario;
  const rule = { ...RULE, ...change };
  const random = randomOf(seed);
  const between = ([from, to]: Range) => from + (to - from) * random();
  const timers = new Timers();
  const mayPut = bucketOf(scenario.putPerSecond, timers);
  const mayCreate = bucketOf(scenario.createPerSecond, timers);
  const calls: Call[] = [];
  const puts: { at: number; waitedMs: number }[] = [];
  let [isFlushing, logged, stored] = [false, 0, 0];
  const paceOf = ({ paceMs, throttledAt }: Logger) =>
    Math.max(flushIntervalMs, paceMs * (1 - (timers.now - throttledAt) / rule.recoveryMs));

  function fillOf(logger: Logger): number {
    const paceMs = paceOf(logger);
    return paceMs > flushIntervalMs ? Math.min(rule.maxPaceMs, rule.fill * paceMs) : flushIntervalMs;
  }

  function log(logger: Logger): void {
    logged++;
    if (logger.open.push(timers.now) === 1 && logger.sending.length === 0) wait(logger);
    if (timers.now + 1_000 / scenario.perSecond < scenario.forMs) {
      timers.add(1_000 / scenario.perSecond, () => log(logger));
    }
  }

  function wait(logger: Logger): void {
    const [openedAt = 0] = logger.open;
    timers.add(Math.max(0, openedAt + fillOf(logger) - timers.now), () => begin(logger));
  }

  function begin(logger: Logger): void {
    if (logger.sending.length > 0 || logger.open.length === 0) return;
    logger.paceMs = paceOf(logger);
    request(logger);
  }

  function request(logger: Logger): void {
    logger.pauseEnd = undefined;
    if (rule.takesAlong || logger.sending.length === 0) logger.sending.push(...logger.open.splice(0));
    const { now } = timers;
    const isPut = logger.isCreated;
    const isOut = now >= outageMs[0] && now < outageMs[1];
    const isThrottled = isOut || !(isPut ? mayPut() : mayCreate());
    calls.push({ at: now, isThrottled });
    timers.add(between(scenario.latencyMs), () => {
      if (isThrottled) onThrottled(logger);
      else if (isPut) onStored(logger);
      else {
        logger.isCreated = true;
        request(logger);
      }
    });
  }

  function onStored(logger: Logger): void {
    const events = logger.sending.splice(0);
    stored += events.length;
    puts.push({ at: timers.now, waitedMs: timers.now - (events[0] ?? 0) });
    if (isFlushing) begin(logger);
    else if (logger.open.length > 0) wait(logger);
  }

  function onThrottled(logger: Logger): void {
    const pauseMs = logger.paceMs * between(rule.pause);
    logger.paceMs = Math.min(rule.maxPaceMs, logger.paceMs * rule.growth);
    logger.throttledAt = timers.now;
    pause(logger, isFlushing ? Math.min(pauseMs, between(rule.flushPauseMs)) : pauseMs);
  }

  function pause(logger: Logger, ms: number): void {
    const end = timers.now + ms;
    logger.pauseEnd = end;
    timers.add(ms, () => {
      if (logger.pauseEnd === end) request(logger); // another one if it was cut short
    });
  }

  function flush(logger: Logger): void {
    if (logger.pauseEnd === undefined) begin(logger);
    else pause(logger, Math.min(logger.pauseEnd - timers.now, between(rule.flushPauseMs)));
  }

  const loggers = Array.from({ length: scenario.loggers }, () => {
    const logger: Logger = { isCreated: false, open: [], sending: [], paceMs: flushIntervalMs, throttledAt: -Infinity };
    timers.add(0, () => log(logger));
    return logger;
  });
  timers.add(scenario.forMs, () => {
    isFlushing = true;
    loggers.forEach(flush);
  });
  timers.run();
  return { calls, puts, storedAt: puts.at(-1)?.at ?? 0, lost: logged - stored };
}

/** Of the calls from a time on. */
export function throttledShare(calls: Call[], from = 0): number {
  const counted = calls.filter(({ at }) => at >= from);
  return counted.filter(({ isThrottled }) => isThrottled).length / Math.max(1, counted.length);
}

class Timers {
  now = 0;
  readonly #waiting: { at: number; run: () => void }[] = [];

  add(ms: number, run: () => void): void {
    const at = this.now + ms;
    const index = this.#waiting.findLastIndex((timer) => timer.at > at) + 1;
    this.#waiting.splice(index, 0, { at, run }); // the last is the next
  }

  run(): void {
    for (let timer = this.#waiting.pop(); timer; timer = this.#waiting.pop()) {
      this.now = timer.at;
      timer.run();
    }
  }
}

function bucketOf(perSecond: number, timers: Timers): () => boolean {
  let [tokens, at] = [perSecond, 0];
  return () => {
    tokens = Math.min(perSecond, tokens + ((timers.now - at) / 1_000) * perSecond);
    at = timers.now;
    return tokens >= 1 && tokens-- >= 1;
  };
}

/** Mulberry32, a small generator of random numbers that a seed repeats. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
