// Trace ids of OpenTelemetry.        npm install @opentelemetry/api @opentelemetry/sdk-trace-node cwlogger @aws-sdk/client-cloudwatch-logs
import { setTimeout } from "node:timers/promises";
import { trace } from "@opentelemetry/api";
import { ConsoleSpanExporter, NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node";
import { CloudwatchLogger } from "cwlogger";

// Yours has another exporter, and stands in a file that is loaded first.
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter())] }).register();

// Called for each event. CloudWatch Logs indexes `traceId` by default, so that searching for one is cheap.
const logger = new CloudwatchLogger("my-app", {
  fields: () => {
    const { traceId, spanId } = trace.getActiveSpan()?.spanContext() ?? {};
    return { traceId, spanId };
  },
});

const tracer = trace.getTracer("my-app");
logger.info("started"); // no span, no ids
await tracer.startActiveSpan("place order", async (span) => {
  logger.info("order received", { orderId: 17 });
  await setTimeout(1);
  tracer.startActiveSpan("charge", (inner) => {
    logger.info("card charged");
    inner.end();
  });
  span.end();
});
