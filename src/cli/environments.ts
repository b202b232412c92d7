/**
 * Environments by what is written after `--env`: `ID[:PRESET]`.
 *
 * A path comes first, then a folder `environments/<id>` in the current directory, then what is built in. Modules are
 * imported only when they are asked for.
 */
import { Effect, FileSystem, Schema } from "effect"
import { Flag } from "effect/cli"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import type { TaskSet } from "../actors/rollout.ts"
import type { Environment } from "../environment.ts"
import { fromObject, resolveConfig, type Setting, settingOptions, settingsOf } from "./config.ts"
import { applyDynamics, isDynamics } from "./dynamics.ts"
import { UnknownName, WrongInput } from "./failure.ts"

const builtIn: Record<string, () => Promise<{ readonly default: Environment }>> = {
  alchemy: () => import("../../environments/alchemy/index.ts"),
  "frozen-lake": () => import("../../environments/frozen-lake/index.ts"),
  learn2ask: () => import("../../environments/learn2ask/index.ts"),
  "optimal-control": () => import("../../environments/optimal-control/index.ts"),
  "pde-discovery": () => import("../../environments/pde-discovery/index.ts"),
  "grid-navigation": () => import("../../environments/grid-navigation/index.ts"),
  "frozen-lake-obscure": () => import("../../environments/frozen-lake-obscure/index.ts"),
  terminal: () => import("../../environments/terminal/index.ts")
}

export const environmentIds: ReadonlyArray<string> = Object.keys(builtIn)

/** For commands that take environments, or know by other means which. */
export const envs = Flag.String("env").pipe(
  Flag.withMetavar("ID[:PRESET]"),
  Flag.withDescription("Environment: an id, or the path of a folder or module; may be repeated"),
  Flag.atLeast(0)
)

const { config, set } = settingOptions(Schema.Struct({}))

/** For commands whose only settings are those of the environment. Give the values to `environmentSettings`. */
export const environmentOptions = { config, set }

export const environmentSettings = Effect.fnUntraced(function* (given: Omit<Parameters<typeof settingsOf>[0], "keys">) {
  const settings = yield* settingsOf({ ...given, keys: {} })
  const stranger = settings.find(({ path }) => path[0] !== "environment")
  if (stranger === undefined) return settings
  const file = stranger.file === undefined ? {} : { file: stranger.file }
  return yield* new UnknownName({ ...file, kind: "key", name: stranger.path.join("."), valid: ["environment"] })
})

/** The environment of that id or path. */
export const openEnvironment = Effect.fnUntraced(function* (name: string) {
  const files = yield* FileSystem.FileSystem
  const isPath = /[/\\]|^\.|\.m?[jt]s$/.test(name)
  const module = yield* moduleIn(files, isPath ? name : join("environments", name))
  if (module !== undefined) return yield* load(name, () => import(pathToFileURL(module).href))
  if (isPath) {
    const expected = `a module, or a folder with ${moduleFiles.join(" or ")}`
    return yield* new WrongInput({ field: "--env", value: name, expected })
  }
  const known = builtIn[name]
  if (known === undefined) return yield* new UnknownName({ kind: "environment", name, valid: environmentIds })
  return yield* load(name, known)
})

/** What the module of an environment may be called in its folder. */
export const moduleFiles = ["index.ts", "index.mts", "index.js", "index.mjs"]

/** The module that a path means. */
const moduleIn = Effect.fnUntraced(function* (files: FileSystem.FileSystem, path: string) {
  for (const candidate of [path, ...moduleFiles.map((file) => join(path, file))]) {
    const info = yield* Effect.option(files.stat(candidate))
    if (info._tag === "Some" && info.value.type === "File") return resolve(candidate)
  }
  return undefined
})

const load = Effect.fnUntraced(function* (name: string, module: () => Promise<{ readonly default?: unknown }>) {
  const loaded = yield* Effect.tryPromise({
    try: module,
    catch: (thrown) =>
      new WrongInput({ field: "--env", value: name, expected: `a module that can be loaded: ${String(thrown)}` })
  })
  if (!isEnvironment(loaded.default)) {
    const expected = "a module whose default export is made by defineEnvironment"
    return yield* new WrongInput({ field: "--env", value: name, expected })
  }
  return loaded.default
})

const isEnvironment = (value: unknown): value is Environment =>
  typeof value === "object" &&
  value !== null &&
  ["id", "options", "presets", "knowledge", "task", "machine", "chat", "feedback", "agents"].every(
    (key) => key in value
  )

/**
 * What `--env` names, with its options: the preset's, then those of the settings under `environment`, and with the
 * operators under `environment.dynamics` around it.
 */
export interface Chosen extends TaskSet {
  readonly preset: string
}

export const openTaskSet = Effect.fnUntraced(function* (
  text: string,
  id: number,
  settings: ReadonlyArray<Setting> = []
) {
  const colon = text.lastIndexOf(":")
  const [name, preset] = colon < 0 ? [text, "train"] : [text.slice(0, colon), text.slice(colon + 1)]
  const environment = yield* applyDynamics(yield* openEnvironment(name), settings)
  const presets = { train: {}, ...environment.presets }
  const chosen = Object.entries(presets).find(([known]) => known === preset)?.[1]
  if (chosen === undefined) {
    return yield* new UnknownName({ kind: `preset of ${environment.id}`, name: preset, valid: Object.keys(presets) })
  }
  const schema = Schema.Struct({
    environment: environment.options.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
  })
  const own = settings.filter((setting) => setting.path[0] === "environment" && !isDynamics(setting))
  const { environment: options } = yield* resolveConfig(schema, fromObject({ environment: chosen }), own).pipe(
    Effect.mapError((error) =>
      error._tag === "UnknownName"
        ? new UnknownName({ ...error, valid: [...error.valid, "environment.dynamics"] })
        : error
    )
  )
  return { id, environment, options, preset } satisfies Chosen as Chosen
})
