import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FileSystem, Result, Schema } from "effect"
import { Command } from "effect/cli"
import fc from "fast-check"
import { join } from "node:path"
import {
  fromAssignment,
  fromObject,
  fromYaml,
  printConfig,
  resolveConfig,
  settingOptions,
  settingsOf,
  shortenLongForms
} from "../../src/cli/config.ts"

const withDefault = <S extends Schema.Top>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

const Recipe = Schema.Struct({
  seed: withDefault(Schema.Int, 1),
  packSize: withDefault(Schema.Int, 4),
  device: withDefault(Schema.Literals(["cpu", "cuda"]).annotate({ description: "Where numbers are computed" }), "cpu"),
  training: withDefault(
    Schema.Struct({
      lr: withDefault(Schema.Finite.check(Schema.isGreaterThan(0)), 1e-3),
      updates: withDefault(Schema.Int, 80),
      name: withDefault(Schema.String, "first"),
      sizes: withDefault(Schema.Array(Schema.Int), [4, 5])
    }),
    {}
  )
})
type Recipe = typeof Recipe.Type

const yaml = (text: string) => Result.getOrThrow(fromYaml(text, "recipe.yaml"))
const set = (...assignments: ReadonlyArray<string>) =>
  assignments.flatMap((assignment) => Result.getOrThrow(fromAssignment(assignment)))

const resolved = (...layers: Parameters<typeof resolveConfig<Recipe>> extends [any, ...infer L] ? L : never) =>
  Effect.runSync(resolveConfig(Recipe, ...layers))
const refused = (...layers: Parameters<typeof resolveConfig<Recipe>> extends [any, ...infer L] ? L : never) =>
  Effect.runSync(Effect.flip(resolveConfig(Recipe, ...layers))).message

describe("a configuration", () => {
  it("has the defaults of its schema", () => {
    expect(resolved()).toEqual({
      seed: 1,
      packSize: 4,
      device: "cpu",
      training: { lr: 1e-3, updates: 80, name: "first", sizes: [4, 5] }
    })
  })

  it("takes the last of preset, file and assignments, key by key", () => {
    const preset = fromObject({ seed: 2, training: { lr: 0.1, updates: 5 } })
    const file = yaml("training:\n  lr: 0.2\n  sizes: [6]\n")
    expect(resolved(preset, file, set("training.lr=3e-1"))).toEqual({
      seed: 2,
      packSize: 4,
      device: "cpu",
      training: { lr: 0.3, updates: 5, name: "first", sizes: [6] }
    })
  })

  it("reads dotted keys, lists, maps and aliases in files and assignments", () => {
    expect(resolved(yaml("training.lr: 2")).training.lr).toBe(2)
    expect(resolved(yaml("seed: &s 7\ntraining: { updates: *s }")).training.updates).toBe(7)
    expect(resolved(set("training={lr: 2, updates: 3}", "training.sizes=[1, 2]")).training).toEqual({
      lr: 2,
      updates: 3,
      name: "first",
      sizes: [1, 2]
    })
  })

  it("takes an empty map for a map with nothing in it, which takes nothing away", () => {
    const Options = Schema.Struct({ options: Schema.Record(Schema.String, Schema.Int) })
    const options = (...texts: ReadonlyArray<string>) => Effect.runSync(resolveConfig(Options, ...texts.map(yaml)))
    expect(options("options: {}")).toEqual({ options: {} })
    expect(options("options: { a: 1 }", "options: {}", "options: { b: 2 }")).toEqual({ options: { a: 1, b: 2 } })
    expect(yaml(printConfig(Options, { options: {} }))).toHaveLength(1)
    expect(fromObject({})).toEqual([])
  })

  it("takes text that looks like a number where text is expected", () => {
    expect(resolved(set("training.name=2026")).training.name).toBe("2026")
    expect(resolved(set("training.name=a: b")).training.name).toBe("a: b")
  })

  it("is printed as YAML that reads back the same", () => {
    const config = resolved(set("training.lr=1e-7", "training.name=yes: no #1"))
    expect(config.training.name).toBe("yes: no #1")
    expect(resolved(yaml(printConfig(Recipe, config)))).toEqual(config)
  })
})

describe("a wrong configuration is refused with one line", () => {
  it.each([
    ["seed: 1\ntraining:\n  lr: fast\n", 'recipe.yaml:3: "training.lr" is "fast", expected a number'],
    ["training: { lr: -1 }", 'recipe.yaml:1: "training.lr" is -1, expected a value greater than 0'],
    ["device: gpu", 'recipe.yaml:1: "device" is "gpu", expected "cpu" or "cuda"'],
    ["training:\n  lrr: 1\n", 'recipe.yaml:2: unknown key "training.lrr", did you mean "training.lr"?'],
    ["\nlr: 1\n", 'recipe.yaml:2: unknown key "lr", did you mean "training.lr"?'],
    ["zzz: 1\n", 'recipe.yaml:1: unknown key "zzz", expected one of "seed", "packSize", "device", "training"'],
    ["training: 3", 'recipe.yaml:1: "training" is 3, expected keys and values'],
    ["seed:", 'recipe.yaml:1: "seed" is null, expected a number'],
    ["training:\n  sizes: [4, x]", 'recipe.yaml:2: "training.sizes.1" is "x", expected a number'],
    [
      "__proto__:\n  lr: 1",
      'recipe.yaml:2: unknown key "__proto__", expected one of "seed", "packSize", "device", "training"'
    ]
  ])("%j", (text, message) => {
    expect(refused(yaml(text))).toBe(message)
  })

  it("of assignments too, where there is no line to name", () => {
    expect(refused(set("training.lr=fast"))).toBe('"training.lr" is "fast", expected a number')
    expect(refused(set("trainng.lr=1"))).toBe('unknown key "trainng", did you mean "training"?')
    const broken = Result.match(fromAssignment("seed"), { onFailure: (error) => error.message, onSuccess: () => "" })
    expect(broken).toBe('--set is "seed", expected a.b=value')
  })

  it.each([
    ["seed: 1\nseed: 2\n", "recipe.yaml:2: "],
    ["a: [1, 2", "recipe.yaml:1: "],
    ["- 1\n- 2", 'recipe.yaml:1: "file" is [1,2], expected keys and values']
  ])("of unreadable files: %j", (text, start) => {
    const error = Result.match(fromYaml(text, "recipe.yaml"), {
      onFailure: ({ message }) => message,
      onSuccess: () => ""
    })
    expect(error.startsWith(start) && !error.includes("\n"), error).toBe(true)
  })

  it("whatever the assignments are: a configuration or one of the two errors", () => {
    const word = fc.oneof(
      fc.constantFrom("seed", "training", "training.lr", "__proto__.x", "constructor", "toString"),
      fc.string()
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(word, fc.oneof(fc.string(), fc.json()))), (pairs) => {
        const settings = pairs.flatMap(([name, value]) =>
          Result.getOrElse(fromAssignment(`${name}=${value}`), () => [])
        )
        const result = Effect.runSync(Effect.result(resolveConfig(Recipe, settings)))
        if (Result.isFailure(result)) expect(["WrongInput", "UnknownName"]).toContain(result.failure._tag)
        else expect(typeof result.success.training.lr).toBe("number")
        expect(Object.prototype).not.toHaveProperty("x")
      }),
      { seed: 5, numRuns: 300 }
    )
  })
})

describe("on the command line", () => {
  it("the long form is --set", () => {
    expect(
      shortenLongForms(["train", "--a.b", "1", "--c.d-e=x=y", "--seed", "2", "--a.b", "-1", "--", "--e.f"])
    ).toEqual(["train", "--set", "a.b=1", "--set", "c.d-e=x=y", "--seed", "2", "--set", "a.b=-1", "--", "--e.f"])
    expect(shortenLongForms(["--a.b", "--json"])).toEqual(["--set", "a.b", "--json"])
  })

  it.live("file, assignments and top-level keys are layers in this order", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const file = join(yield* files.makeTempDirectoryScoped(), "recipe.yaml")
      yield* files.writeFileString(file, "seed: 2\ndevice: cuda\ntraining:\n  lr: 0.2\n")
      let config: Recipe | undefined
      const train = Command.make("train", settingOptions(Recipe), (given) =>
        Effect.gen(function* () {
          config = yield* resolveConfig(Recipe, fromObject({ training: { updates: 5 } }), yield* settingsOf(given))
        })
      )
      yield* Command.runWith(train, { version: "0" })(
        shortenLongForms([
          "--seed",
          "4",
          "--config",
          file,
          "--training.lr",
          "0.3",
          "--pack-size",
          "8",
          "--set",
          "seed=3"
        ])
      )
      expect(config).toEqual({
        seed: 4,
        packSize: 8,
        device: "cuda",
        training: { lr: 0.3, updates: 5, name: "first", sizes: [4, 5] }
      })
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
