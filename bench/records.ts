/** What is logged, and how to see that it arrived: every event carries a number, by which each one is known again. */

import { createHash } from "node:crypto";

export type Kind =
  | "structured"
  | "strings"
  | "text"
  | "quotes"
  | "stack traces"
  | "accents"
  | "CJK"
  | "emoji"
  | "large";

/** The kinds that are compared for the way their text has to be escaped. */
export const TEXT_CLASSES: Kind[] = ["quotes", "stack traces", "accents", "CJK", "emoji"];

/** One event, ready for every API: `record` is `{ level, message, ...fields }`, prepared so that nobody pays for it. */
export interface Item {
  message: string;
  fields: Record<string, unknown> | undefined;
  record: Record<string, unknown>;
}

/** Eight digits, so that all records have the same length. */
const FIRST_ID = 10_000_000;
const POOL_ITEMS = 4_096;
const LARGE_POOL_ITEMS = 16;
const LARGE_BYTES = 100_000;
const STRING_CHARACTERS = 100;
const TEXT_CHARACTERS = 260;

/** How many different ids there are before they repeat. Structured records get a number of their own each time. */
export function distinctIds(kind: Kind, events: number): number {
  return kind === "structured" ? events : poolSize(kind);
}

/** Records made before anything is measured. */
export function makePool(kind: Kind): Item[] {
  return Array.from({ length: poolSize(kind) }, (_, index) => makeItem(kind, index));
}

/** Gives an item of the pool the number of the event that it is about to be. */
export function renumber(item: Item, index: number): Item {
  if (item.fields !== undefined) item.fields.orderId = item.record.orderId = FIRST_ID + index;
  return item;
}

/** The index of the event that became this message; undefined when it is none of ours. */
export function indexOf(message: string): number | undefined {
  const id = /(?:#|"orderId":)(\d{8})/.exec(message)?.[1];
  return id === undefined ? undefined : Number(id) - FIRST_ID;
}

/** Whether a message that arrived holds everything that was logged, whatever the logger added or called things. */
export function isIntact(kind: Kind, index: number, message: string): boolean {
  const item = renumber(makeItem(kind, index), index);
  if (message === item.message) return true;
  let parsed: unknown;
  try {
    parsed = JSON.parse(message);
  } catch {
    return false;
  }
  if (parsed === item.message) return true;
  const { message: long, msg = long, ...fields } = parsed as Record<string, unknown>;
  const isSame = ([name, value]: [string, unknown]) => JSON.stringify(fields[name]) === JSON.stringify(value);
  return msg === item.message && Object.entries(item.fields ?? {}).every(isSame);
}

function poolSize(kind: Kind): number {
  return kind === "large" ? LARGE_POOL_ITEMS : POOL_ITEMS;
}

function makeItem(kind: Kind, index: number): Item {
  if (kind !== "structured") {
    const message = `#${FIRST_ID + index} ${textOf(kind, index)}`;
    return { message, fields: undefined, record: { level: "INFO", message } };
  }
  const pooled = index % POOL_ITEMS; // all but the number repeats with the pool
  const chance = createHash("sha256").update(String(pooled)).digest("hex"); // gzip must not find too much
  const fields = {
    orderId: FIRST_ID,
    customer: `customer-${chance.slice(0, 6)}`,
    totalCents: 1_000 + (Number.parseInt(chance.slice(6, 10), 16) % 9_000),
    durationMs: 12.5 + (pooled % 40),
    request: {
      method: "POST",
      path: `/api/v1/orders/${chance.slice(10, 14)}`,
      trace: `Root=1-67e3f1a2-${chance.slice(14, 38)};Parent=${chance.slice(38, 54)};Sampled=1`,
    },
  };
  const message = "order placed and paid by a bank";
  return { message, fields, record: { level: "INFO", message, ...fields } };
}

function textOf(kind: Kind, index: number): string {
  switch (kind) {
    case "quotes":
      return fill(`he said "order ${index}" and the answer was {"status":"ok","items":["a","b"]} `, TEXT_CHARACTERS);
    case "stack traces": {
      const frame = `    at placeOrder (/srv/app/dist/orders/place.js:${100 + (index % 900)}:17)\n`;
      return fill(`Error: card declined\n${frame}`, TEXT_CHARACTERS);
    }
    case "accents":
      return fill(`Größe geändert: déjà vu à la carte, señor ${index}, smørrebrød übermäßig `, TEXT_CHARACTERS);
    case "CJK":
      return fill(`注文${index}番を受け付けました。支払いは完了しています。订单已发货 `, TEXT_CHARACTERS);
    case "emoji":
      return fill(`order ${index} 🚀 shipped 📦 to 🇪🇺 with 👩‍🔧 ✅ `, TEXT_CHARACTERS);
    case "large":
      return fill(`line ${index} of a large event: {"a":1,"b":"two"}, some words to fill it up\n`, LARGE_BYTES);
    default:
      return fill(`GET /api/v1/orders/${index} 200 12 ms, nothing to see here, move along `, STRING_CHARACTERS);
  }
}

/** Cut after whole code points; the ten characters of the number in front are counted. */
function fill(text: string, characters: number): string {
  const points: string[] = [];
  let length = 10;
  for (const point of text.repeat(Math.ceil(characters / text.length) + 1)) {
    length += point.length;
    if (length > characters) break;
    points.push(point);
  }
  return points.join("");
}
