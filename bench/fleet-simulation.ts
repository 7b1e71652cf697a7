/**
 * Loggers under one quota, simulated: what a rule for pauses and waiting times does, in milliseconds instead of minutes,
 * and the same again with the same seed. RULE is what `cloudwatch.ts` does; its constants were chosen with this file.
 */
import type { Figures } from "./worker.ts";

export interface Fleet {
  loggers: number;
  /** Each logger logs so many events a second, for so long; then all flush. */
  perSecond: number;
  forMs: number;
  flushIntervalMs: number;
  /** Calls a second, counted as the local service does: a token bucket of one second. */
  putPerSecond: number;
  createPerSecond: number;
  /** How long an answer takes. */
  latencyMs: Range;
  /** Calls before this time do not count as throttled: each log stream has to be created first. */
  countedFromMs: number;
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

export type Call = { at: number; isThrottled: boolean };

export function simulate(fleet: Fleet, seed: number, change: Partial<typeof RULE> = {}): Figures {
  const { loggers, perSecond, forMs, flushIntervalMs } = fleet;
  const rule = { ...RULE, ...change };
  const [periodMs, events] = [1_000 / perSecond, (forMs / 1_000) * perSecond];
  const calls: Call[] = [];
  let [now, random] = [0, seed * 1_000_003];
  const [mayPut, mayCreate] = [bucket(fleet.putPerSecond), bucket(fleet.createPerSecond)];
  for (let alive = Array.from({ length: loggers }, () => ({ life: live(), at: 0 })); alive.length > 0; ) {
    const next = alive.reduce((first, other) => (other.at < first.at ? other : first));
    now = next.at;
    const { value, done } = next.life.next();
    if (done) alive = alive.filter((other) => other !== next);
    else next.at += value;
  }
  return fleetFigures(fleet, calls, now);

  /** A logger from its first event until its last is stored; it gives how many milliseconds it waits for. */
  function* live(): Generator<number, void> {
    let [stored, paceMs, throttledAt, isCreated] = [0, flushIntervalMs, 0, false];
    const pace = () => Math.max(flushIntervalMs, paceMs * (1 - (now - throttledAt) / rule.recoveryMs));
    while (stored < events) {
      const openedAt = stored * periodMs;
      yield Math.max(0, openedAt - now);
      const fillMs = pace() > flushIntervalMs ? Math.min(rule.maxPaceMs, rule.fill * pace()) : flushIntervalMs;
      yield Math.max(0, Math.min(openedAt + fillMs, forMs) - now);
      paceMs = pace();
      for (let [taken, isStored] = [0, false]; !isStored; ) {
        if (taken === 0 || rule.takesAlong) taken = Math.min(events, Math.ceil(now / periodMs));
        const isThrottled = !(isCreated ? mayPut() : mayCreate());
        calls.push({ at: now, isThrottled });
        yield between(fleet.latencyMs);
        if (isThrottled) {
          const pauseMs = paceMs * between(rule.pause);
          paceMs = Math.min(rule.maxPaceMs, paceMs * rule.growth);
          throttledAt = now;
          yield Math.min(pauseMs, Math.max(0, forMs - now) + between(rule.flushPauseMs));
        } else if (isCreated) [stored, isStored] = [taken, true];
        else isCreated = true;
      }
    }
  }

  function bucket(perSecond: number): () => boolean {
    let [tokens, at] = [perSecond, 0];
    return () => {
      tokens = Math.min(perSecond, tokens + ((now - at) / 1_000) * perSecond);
      at = now;
      return tokens >= 1 && tokens-- >= 1;
    };
  }

  /** By a small generator of random numbers that a seed repeats. */
  function between([from, to]: Range): number {
    random = (random * 48_271) % 2_147_483_647;
    return from + (to - from) * (random / 2_147_483_647);
  }
}

/** Of a fleet, simulated or not. Ideal: everything is stored when the last event is logged. */
export function fleetFigures({ forMs, countedFromMs }: Fleet, calls: Call[], storedAtMs: number): Figures {
  const counted = calls.filter(({ at }) => at >= countedFromMs);
  return {
    "throttled %": (counted.filter(({ isThrottled }) => isThrottled).length / counted.length) * 100,
    "stored after s": storedAtMs / 1_000,
    "× ideal": storedAtMs / forMs,
  };
}
