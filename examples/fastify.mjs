// Fastify with its own pino.         npm install fastify cwlogger @aws-sdk/client-cloudwatch-logs
import { CloudwatchLogger } from "cwlogger";
import Fastify from "fastify";

const logger = new CloudwatchLogger("my-app");
const app = Fastify({ logger: { level: "info", stream: logger.stream() } });

app.get("/orders/:id", async (request) => {
  request.log.info({ orderId: request.params.id }, "order read");
  return { id: request.params.id };
});

console.log(await app.listen({ port: Number(process.env.PORT ?? 3000), host: "127.0.0.1" }));
process.once("SIGTERM", async () => {
  await app.close();
  await logger.close();
});
