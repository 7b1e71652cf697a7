import eslint from "@eslint/js";
import typescript from "typescript-eslint";

export default [eslint.configs.recommended, ...typescript.configs.recommended];
