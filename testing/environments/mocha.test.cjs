it("delivers", () => require("./scenario.cjs")(require("cwlogger")));
