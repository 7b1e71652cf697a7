// Hono on Node.js.                   npm install hono @hono/node-server cwlogger @aws-sdk/client-cloudwatch-logs
import { serve } from "@hono/node-server";
import { CloudwatchLogger } from "cwlogger";
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { requestId } from "hono/request-id";

const logger = new CloudwatchLogger("my-app");
const app = new Hono();

app.use(requestId()); // the header X-Request-Id, or a new one
app.use((context, next) =>
  logger.withFields({ requestId: context.get("requestId") }, async () => {
    const startedAt = performance.now();
    await next();
    const durationMs = Math.round(performance.now() - startedAt);
    logger.info(`${context.req.method} ${context.req.path}`, { status: context.res.status, durationMs });
  }),
);
app.onError((error, context) => {
  if (error instanceof HTTPException) return error.getResponse();
  logger.error(error);
  return context.json({ error: "internal error" }, 500);
});
app.get("/orders/:id", (context) => {
  const orderId = Number(context.req.param("id"));
  if (Number.isNaN(orderId)) throw new TypeError("no order has this id");
  logger.info("order read", { orderId });
  return context.json({ id: orderId });
});

const server = serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: "127.0.0.1" }, ({ port }) =>
  console.log(`http://127.0.0.1:${port}`),
);
process.once("SIGTERM", () => server.close(() => logger.close()));
