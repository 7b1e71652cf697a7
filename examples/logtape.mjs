// LogTape.                           npm install @logtape/logtape cwlogger @aws-sdk/client-cloudwatch-logs
import { inspect } from "node:util";
import { configure, dispose, getLogger } from "@logtape/logtape";
import { CloudwatchLogger } from "cwlogger";

const logger = new CloudwatchLogger("my-app", { level: "trace" }); // LogTape decides about levels

function cloudwatch({ level, category, message, properties }) {
  // Texts and, between them, the values of the template.
  const text = message.map((part, index) => (index % 2 && typeof part !== "string" ? inspect(part) : part)).join("");
  logger.log(level, text, { ...properties, category: category.join(".") });
}
cloudwatch[Symbol.asyncDispose] = () => logger.close();

await configure({
  sinks: { cloudwatch },
  loggers: [
    { category: "my-app", lowestLevel: "debug", sinks: ["cloudwatch"] },
    { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["cloudwatch"] },
  ],
});

const log = getLogger(["my-app", "orders"]);
log.info("order {orderId} placed by {user}", { orderId: 17, user: { name: "Ada" } });
log.with({ requestId: "r-1" }).warning("stock is low");
log.error("cannot charge", { error: new Error("card declined") });
await dispose();
