// Metrics, in Embedded Metric Format.   npm install cwlogger @aws-sdk/client-cloudwatch-logs
import { CloudwatchLogger } from "cwlogger";

// CloudWatch makes metrics of events that have `_aws`: no other API, no other permission. `overflow: "error"`, the
// default, throws where such an event does not fit: cut, it may be no metric, and split, each part counts once more.
const logger = new CloudwatchLogger("my-app", { fields: { service: "checkout" }, overflow: "error" });

/** One event with metrics: `{ orderMs: [12.5, "Milliseconds"] }`. The fields can be queried, and cost no metric each. */
function measure(metrics, fields = {}) {
  const entries = Object.entries(metrics);
  try {
    logger.info("metrics", {
      ...fields,
      ...Object.fromEntries(entries.map(([name, [value]]) => [name, value])),
      _aws: {
        Timestamp: Date.now(),
        CloudWatchMetrics: [
          {
            Namespace: "my-app",
            Dimensions: [["service"]],
            Metrics: entries.map(([Name, [, Unit]]) => ({ Name, Unit })),
          },
        ],
      },
    });
  } catch (error) {
    if (error.code !== "ERR_OVERSIZE") throw error;
    logger.error("metrics do not fit a log event", { metrics: Object.keys(metrics), reason: error.message });
  }
}

measure({ orderMs: [12.5, "Milliseconds"], orders: [1, "Count"] }, { orderId: 17 });
measure({ orders: [1, "Count"] }, { cart: "🍎".repeat(300_000) });
await logger.close();
