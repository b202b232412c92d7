/** The project speaks of itself alone: nothing in it names the place or the tools it was made with. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"

const tracked = execFileSync("git", ["ls-files", "-z"], { encoding: "utf8" })
  .split("\0")
  .filter((file) => file !== "" && file !== "test/house/speech.test.ts")

const absent = ["design", "style", "stack", "kernels", "recipe", "conventions", "fuzz-cases", "brief"].filter(
  (page) => !tracked.includes(`docs/${page}.md`)
)

/** The computers that are simulated there have folders and addresses of their own. */
const simulated = /^(?:test\/)?environments\/terminal\b/

/** What would be another world's word here, and why. */
const foreign: ReadonlyArray<{ readonly why: string; readonly pattern: RegExp; readonly except?: RegExp }> = [
  {
    why: "a folder of one machine",
    pattern: /(?<![\w.])\/(?:work|home|Users|root)\/|\.\.\/shared\b|\bshared\/(?:spec|vectors|\w+\.md)/,
    except: simulated
  },
  { why: "a page that is not in the project", pattern: new RegExp(`\\b(?:${absent.join("|")})\\.md\\b`) },
  { why: "a number in someone's tracker", pattern: /\bissues? #?\d/i },
  {
    why: "an address on one network",
    pattern: /\b(?:localhost:\d|10\.\d+\.\d+\.\d+|192\.168\.)|\/\/[\w.-]*(?:proxy|mirror|artifactory|nexus)[\w.-]*/i,
    except: simulated
  },
  { why: "an unfinished thought", pattern: /\b(?:TODO|FIXME|XXX)\b/ }
]

const textual = tracked.filter((file) => /\.(?:ts|js|json|md|ya?ml|svg|html|sh)$|\/run$|^\.npmrc$/.test(file))

describe("tracked files", () => {
  it.each(foreign)("hold not $why", ({ pattern, except }) => {
    const found = textual
      .filter((file) => !except?.test(file))
      .flatMap((file) =>
        readFileSync(file, "utf8")
          .split("\n")
          .flatMap((line, i) => (pattern.test(line) ? [`${file}:${i + 1}: ${line.trim().slice(0, 120)}`] : []))
      )
    expect(found).toEqual([])
  })

  it("name no registry but the public one", () => {
    const lock = readFileSync("package-lock.json", "utf8")
    const hosts = new Set(Array.from(lock.matchAll(/"resolved": "https?:\/\/([^/]+)/g), ([, host]) => host))
    expect([...hosts].filter((host) => host !== "registry.npmjs.org")).toEqual([])
  })
})
