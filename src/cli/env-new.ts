/** `constellate env new`: writes an environment to start from, with its test. */
import { Effect, FileSystem } from "effect"
import { Argument, Command } from "effect/cli"
import { createRequire } from "node:module"
import { dirname, join, relative, resolve, sep } from "node:path"
import { fileURLToPath } from "node:url"
import { environmentSource, type Template, testSource } from "./env-template.ts"
import { environmentIds } from "./environments.ts"
import { WrongInput } from "./failure.ts"
import { answer, json } from "./output.ts"

export const create = Command.make(
  "new",
  {
    name: Argument.String("name").pipe(Argument.withDescription("Its id: lower case with dashes, such as my-lake")),
    json
  },
  Effect.fnUntraced(function* ({ json, name }) {
    const files = yield* FileSystem.FileSystem
    if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
      const expected = "lower case words with dashes between them, such as my-lake"
      return yield* new WrongInput({ field: "name", value: name, expected })
    }
    if (environmentIds.includes(name)) {
      return yield* new WrongInput({ field: "name", value: name, expected: "a name that no environment has yet" })
    }
    const extension = yield* extensionHere
    const folder = join("environments", name)
    const test = join("test", "environments", `${name}.test.${extension}`)
    for (const path of [folder, test]) {
      if (yield* files.exists(path)) {
        return yield* new WrongInput({ field: "name", value: name, expected: `a new one: ${path} is there already` })
      }
    }
    const module = `index.${extension}`
    const tests = resolves("vitest") ? "vitest" : "node:test"
    const template: Template = { id: name, api: apiFrom(folder), tests, module }
    const written = [join(folder, module), test]
    yield* files.makeDirectory(folder, { recursive: true })
    yield* files.makeDirectory(join("test", "environments"), { recursive: true })
    yield* files.writeFileString(written[0]!, environmentSource(template))
    yield* files.writeFileString(written[1]!, testSource(template))
    yield* answer(json, { environment: name, files: written }, () =>
      [
        ...written,
        "",
        `constellate env check ${name}`,
        `constellate env play ${name}`,
        `constellate simulate --env ${name} --policy scripted:random --lifecycles 1000`,
        `constellate train --env ${name} --updates 5`
      ].join("\n")
    )
  })
).pipe(
  Command.withDescription("Write an environment to start from into ./environments/NAME, with its test"),
  Command.withExamples([{ command: "constellate env new my-lake", description: "A working one, to be changed" }])
)

/** A `.ts` file is an ES module only where the package says so; what `npm init` makes says the opposite. */
const extensionHere = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  for (let folder = resolve("."); ; folder = dirname(folder)) {
    const manifest = join(folder, "package.json")
    if (yield* files.exists(manifest)) {
      const { type } = JSON.parse(yield* files.readFileString(manifest)) as { readonly type?: string }
      return type === "module" ? "ts" : "mts"
    }
    if (folder === dirname(folder)) return "mts"
  }
})

const resolves = (module: string): boolean => {
  try {
    createRequire(resolve("package.json")).resolve(module)
    return true
  } catch {
    return false
  }
}

/** By name where constellate is installed; in a clone, which has no compiled package, by its source file. */
const apiFrom = (folder: string): string => {
  const source = fileURLToPath(
    new URL(import.meta.url.endsWith(".ts") ? "../environment.ts" : "../environment.js", import.meta.url)
  )
  if (source.endsWith(".js") || source.includes(`${sep}node_modules${sep}`)) return "constellate/environment"
  return relative(folder, source).split(sep).join("/")
}
