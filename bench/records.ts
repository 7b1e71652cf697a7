/** What is logged: records that are made before anything is measured, and used again and again. */
import { createHash } from "node:crypto";

/** With `bytes` or `depth`: always the same, a message of this size or fields nested so deep. */
export type Kind = "structured" | "strings" | { bytes: number } | { depth: number };

/** One event, ready for every API: `record` is `{ level, message, ...fields }`, prepared so that nobody pays for it. */
export interface Item {
  message: string;
  fields?: Record<string, unknown>;
  record: Record<string, unknown>;
}

/** Each has a number, by which it is known again where it arrives; eight digits, so that all are of the same length. */
const FIRST_NUMBER = 10_000_000;

export const poolItems = (kind: Kind) => (typeof kind === "object" ? 1 : 4_096);

/** Gives what to log as event `index`. */
export type ItemAt = (index: number) => Item;

export function makePool(kind: Kind): ItemAt {
  const make = typeof kind === "object" ? () => sizedItem(kind) : kind === "strings" ? stringItem : structuredItem;
  // V8 keeps strings that are cut or put together as pieces, and is slower with them than with what a parser gives.
  const pool = JSON.parse(JSON.stringify(Array.from({ length: poolItems(kind) }, (_, index) => make(index)))) as Item[];
  return (index) => pool[index % pool.length] as Item;
}

/** The number of the record that became this message, from 0; NaN when it is none of ours. */
export function numberOf(message: string): number {
  return Number(/(?:#|"orderId":)(\d{8})/.exec(message)?.[1]) - FIRST_NUMBER;
}

function stringItem(index: number): Item {
  const text = `#${FIRST_NUMBER + index} GET /api/v1/orders/${index} 200 12 ms, nothing to see here, move along `;
  const message = text.padEnd(100, "and along ").slice(0, 100);
  return { message, record: { level: "INFO", message } };
}

function sizedItem(kind: Kind & object): Item {
  const nest = (depth: number): object => (depth > 1 ? { name: "a word", fields: nest(depth - 1) } : { leaf: true });
  const message = `#${FIRST_NUMBER} `.padEnd("bytes" in kind ? kind.bytes : 0, "x");
  const fields = "depth" in kind ? { nested: nest(kind.depth) } : {};
  return { message, fields, record: { level: "INFO", message, ...fields } };
}

/** About 290 bytes as JSON. */
function structuredItem(index: number): Item {
  const chance = createHash("sha256").update(String(index)).digest("hex"); // gzip must not find too much
  const trace = `Root=1-67e3f1a2-${chance.slice(14, 38)};Parent=${chance.slice(38, 54)};Sampled=1`;
  const fields = {
    orderId: FIRST_NUMBER + index,
    customer: `customer-${chance.slice(0, 6)}`,
    totalCents: 1_000 + (Number.parseInt(chance.slice(6, 10), 16) % 9_000),
    durationMs: 12.5 + (index % 40),
    request: { method: "POST", path: `/api/v1/orders/${chance.slice(10, 14)}`, trace },
  };
  const message = "order placed and paid by a bank";
  return { message, fields, record: { level: "INFO", message, ...fields } };
}
