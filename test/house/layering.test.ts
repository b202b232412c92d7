/** Who may import whom: the arrows between rooms go one way, and so do those between the files of a room. */
import { globSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** A room that is not named on the right is out of reach. */
const reach: Readonly<Record<string, ReadonlyArray<string>>> = {
  "src/environment.ts": [],
  "src/kernels": ["src/kernels"],
  "src/machines": ["src/machines", "src/environment.ts"],
  environments: ["environments", "src/environment.ts"],
  "src/dynamics": ["src/dynamics", "src/machines", "src/environment.ts"],
  "src/policies": ["src/policies", "src/kernels", "src/environment.ts"],
  "src/actors": ["src/actors", "src/policies", "src/machines", "src/kernels", "src/environment.ts"],
  "src/cli": ["src", "environments"]
}

/** Packages that a room may use; all of them where nothing is said. */
const packages: Readonly<Record<string, RegExp>> = {
  "src/environment.ts": /^(effect|xstate)$/,
  "src/machines": /^xstate$/,
  "src/dynamics": /^(effect|xstate)$/,
  // Numerical libraries are welcome; what runs, draws or trains is not an environment's business.
  environments: /^(effect|xstate|ml-matrix|node:)/
}

interface Import {
  readonly specifier: string
  /** Erased when run: no cycle comes of it. */
  readonly type: boolean
}

const importsOf = (source: string): ReadonlyArray<Import> => [
  ...Array.from(
    source.matchAll(/^(?:import|export)\s+(type\s)?[^"'`;]*?\sfrom\s+"([^"]+)"/gm),
    ([, type, specifier]) => ({ specifier: specifier!, type: type !== undefined })
  ),
  ...Array.from(source.matchAll(/^import\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm), ([, bare, dynamic]) => ({
    specifier: (bare ?? dynamic)!,
    // What is imported on demand is no cycle either.
    type: dynamic !== undefined
  }))
]

const files = globSync(["src/**/*.ts", "environments/**/*.ts"], { cwd: root })
const sources = new Map(files.map((file) => [file, importsOf(readFileSync(join(root, file), "utf8"))]))

const inside = (file: string, room: string): boolean => file === room || file.startsWith(`${room}/`)
const roomOf = (file: string): string => Object.keys(reach).find((room) => inside(file, room)) ?? "nowhere"
const target = (file: string, specifier: string): string => relative(root, join(root, file, "..", specifier))

describe("imports", () => {
  it("are found by this test", () => {
    expect(
      importsOf('import type { A } from "./a.ts"\nimport {\n  b\n} from "./b.ts"\nexport * from "./c.ts"\n')
    ).toEqual([
      { specifier: "./a.ts", type: true },
      { specifier: "./b.ts", type: false },
      { specifier: "./c.ts", type: false }
    ])
    expect(files.length).toBeGreaterThan(20)
    expect(sources.get("src/cli/main.ts")!.map(({ specifier }) => specifier)).toContain("./commands.ts")
  })

  it("stay within the reach of their room", () => {
    const strays = files.flatMap((file) =>
      sources
        .get(file)!
        .filter(({ specifier }) => specifier.startsWith("."))
        .map(({ specifier }) => target(file, specifier))
        .filter((imported) => !(reach[roomOf(file)] ?? []).some((room) => inside(imported, room)))
        .map((imported) => `${file} imports ${imported}`)
    )
    expect(strays).toEqual([])
  })

  it("of packages too, where a room is pure", () => {
    const strays = files.flatMap((file) =>
      sources
        .get(file)!
        .filter(({ specifier }) => !specifier.startsWith("."))
        .filter(({ specifier, type }) => !type && packages[roomOf(file)]?.test(specifier) === false)
        .map(({ specifier }) => `${file} imports ${specifier}`)
    )
    expect(strays).toEqual([])
  })

  it("name files with their real extension", () => {
    const wrong = files.flatMap((file) =>
      sources
        .get(file)!
        .filter(({ specifier }) => specifier.startsWith(".") && !sources.has(target(file, specifier)))
        .map(({ specifier }) => `${file} imports ${specifier}`)
    )
    expect(wrong).toEqual([])
  })

  it("run in no circle", () => {
    const done = new Set<string>()
    const circles: Array<string> = []
    const visit = (file: string, path: ReadonlyArray<string>): void => {
      const start = path.indexOf(file)
      if (start >= 0) return void circles.push([...path.slice(start), file].join(" -> "))
      if (done.has(file)) return
      for (const { specifier, type } of sources.get(file) ?? []) {
        if (!type && specifier.startsWith(".")) visit(target(file, specifier), [...path, file])
      }
      done.add(file)
    }
    for (const file of files) visit(file, [])
    expect(circles).toEqual([])
  })
})
