// For a server; in a mode of ours with all packages inside, too.
export default ({ mode }) => ({
  build: { ssr: "main.mjs", outDir: `vite/${mode}` },
  ...(mode === "bundled" && { ssr: { noExternal: true } }),
});
