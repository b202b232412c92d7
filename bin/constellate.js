#!/usr/bin/env node
// In a clone the TypeScript sources run as they are; the published package holds compiled JavaScript only.
import { existsSync } from "node:fs"

const source = new URL("../src/cli/main.ts", import.meta.url)
if (Number(process.versions.node.split(".")[0]) < 24) {
  console.error(
    `constellate needs Node 24 or newer, this is ${process.versions.node}; in a clone run it through npx or npm`
  )
  process.exit(2)
}
await import(existsSync(source) ? source.href : new URL("../dist/src/cli/main.js", import.meta.url).href)
