// The copied file in CommonJS.
require("./scenario.cjs")(require(process.env.LOGGER));
