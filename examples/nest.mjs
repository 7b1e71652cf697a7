// NestJS.                            npm install @nestjs/core @nestjs/common reflect-metadata rxjs cwlogger @aws-sdk/client-cloudwatch-logs
import "reflect-metadata";
import { Injectable, Logger, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { CloudwatchLogger } from "cwlogger";

/** Nest's LoggerService. What Nest adds behind the values of a call, the context, becomes a field. */
class NestLogger {
  #logger;
  constructor(logger) {
    this.#logger = logger;
  }
  verbose(...values) {
    this.#log("trace", values);
  }
  debug(...values) {
    this.#log("debug", values);
  }
  log(...values) {
    this.#log("info", values);
  }
  warn(...values) {
    this.#log("warn", values);
  }
  error(...values) {
    this.#log("error", values);
  }
  fatal(...values) {
    this.#log("fatal", values);
  }
  #log(level, [message, ...values]) {
    const fields = {};
    if (typeof values.at(-1) === "string" && !isStack(values.at(-1))) fields.context = values.pop();
    // error(message, stack, context); an Error brings its own.
    if (isStack(values.at(-1))) {
      const stack = values.pop();
      if (!(message instanceof Error)) fields.stack = stack;
    }
    // error(message, undefined, context), where there is no stack.
    const rest = values.filter((value) => value !== undefined);
    this.#logger.child(fields).log(level, message, ...rest);
  }
}

function isStack(value) {
  return typeof value === "string" && /\n\s+at /.test(value);
}

// In TypeScript these are the decorators @Injectable() and @Module().
class OrdersService {
  #log = new Logger(OrdersService.name);

  place(orderId) {
    this.#log.log("order placed", { orderId });
    this.#log.verbose("asking the bank");
    try {
      throw new Error("card declined");
    } catch (error) {
      this.#log.error("cannot charge", error.stack);
      this.#log.warn(error, { orderId });
    }
  }
}
Injectable()(OrdersService);
class AppModule {}
Module({ providers: [OrdersService] })(AppModule);

const logger = new CloudwatchLogger("my-app", { level: process.env.LOG_LEVEL });
// An application with a server is made by NestFactory.create, and the rest is the same.
const app = await NestFactory.createApplicationContext(AppModule, { bufferLogs: true });
app.useLogger(new NestLogger(logger));
app.get(OrdersService).place(17);
await app.close();
await logger.close();
