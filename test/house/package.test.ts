/** What is shipped: the tarball, installed in an empty folder, is a working command. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"

const manifest = JSON.parse(readFileSync("package.json", "utf8"))
const folder = mkdtempSync(join(tmpdir(), "constellate-package-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const run = (command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(command, args, {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip" }
  })

describe("the house", () => {
  it("runs on the pinned Node", () => {
    expect(manifest.devDependencies.node.split(".")[0]).toBe("24")
    expect(process.versions.node).toBe(manifest.devDependencies.node)
  })

  it("pins every dependency", () => {
    const loose = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
      ([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(String(version))
    )
    expect(loose).toEqual([])
  })
})

describe("the tarball", () => {
  it("installed in an empty folder, runs from compiled JavaScript", { timeout: 180_000 }, () => {
    const packed = JSON.parse(run("npm", "pack", process.cwd(), "--json", "--loglevel=error"))
    const [{ filename, files }] = Array.isArray(packed) ? packed : Object.values(packed)
    const shipped = (files as ReadonlyArray<{ readonly path: string }>).map(({ path }) => path)
    expect(shipped.filter((path) => !/^(bin|dist)\/|^(package\.json|README\.md|LICENSE)$/.test(path))).toEqual([])
    expect(shipped.filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"))).toEqual([])

    run(
      "npm",
      "install",
      "--omit=dev",
      "--prefer-offline",
      "--no-audit",
      "--no-fund",
      "--loglevel=error",
      `./${filename}`
    )
    expect(readdirSync(join(folder, "node_modules", ".bin"))).toContain("constellate")
    const constellate = join("node_modules", "constellate", "bin", "constellate.js")
    const help = run(process.execPath, constellate, "--help")
    expect(help).toContain("SUBCOMMANDS")
    // A command of its own module, and one that starts a process from a file of ours.
    const findings = JSON.parse(run(process.execPath, constellate, "doctor", "--json"))
    expect(findings.providers[0]).toMatchObject({ name: "cpu", works: true })
    // Model workers are threads that start from files of ours; the smallest training run needs all of them.
    const small = ["warmStart.minimum=1", "warmStart.maximum=1", "warmStart.settle=1", "warmStart.lifecycles=2"]
    const smaller = ["rollout.packs=1", "rollout.groupSize=2", "evaluation.packs=2"]
    const settings = [...small, ...smaller].flatMap((setting) => ["--set", setting])
    const trained = JSON.parse(run(process.execPath, constellate, "train", "--updates", "1", ...settings, "--json"))
    expect(trained).toMatchObject({ updates: 1, before: { packs: 2 }, after: { packs: 2 } })
    expect(readdirSync(join(folder, trained.run))).toContain("curve.svg")
    // The environment API is what `import "constellate"` gives; operators stand beside it.
    const script = `const [api, { withDrift }] = [await import("constellate"), await import("constellate/dynamics")]
console.log(typeof api.defineEnvironment, typeof withDrift)`
    expect(run(process.execPath, "--input-type=module", "-e", script).trim()).toBe("function function")
  })
})
