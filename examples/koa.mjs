// Koa.                               npm install koa cwlogger @aws-sdk/client-cloudwatch-logs
import { randomUUID } from "node:crypto";
import { CloudwatchLogger } from "cwlogger";
import Koa from "koa";

const logger = new CloudwatchLogger("my-app");
const app = new Koa();

app.use((context, next) => {
  const requestId = context.get("x-request-id") || randomUUID();
  return logger.withFields({ requestId }, async () => {
    try {
      await next();
    } catch (error) {
      // Caught here and not by app.on("error"), which knows no request id.
      context.status = error.status ?? 500;
      context.body = { error: error.expose ? error.message : "internal error" };
      logger.error(error, { status: context.status });
    }
    logger.info(`${context.method} ${context.path}`, { status: context.status });
  });
});
app.use((context) => {
  const [, id] = /^\/orders\/(\d+)$/.exec(context.path) ?? context.throw(404, "no such order");
  if (id === "13") throw new Error("card declined");
  logger.info("order read", { orderId: id });
  context.body = { id };
});
// What goes wrong once the answer is on its way.
app.on("error", (error) => logger.error(error));

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
process.once("SIGTERM", () => server.close(() => logger.close()));
