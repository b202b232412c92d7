/**
 * Configuration of a command: one plain object that a Schema describes, resolved from layers of settings.
 *
 * Later layers win: defaults (the schema's own, or a first layer), preset, `--config FILE.yaml`, `--set a.b=value`
 * (long form `--a.b value`), dedicated options. Each setting remembers where it was written, so that what is wrong with
 * it can be said there: `training.yaml:12: "training.lr" is "fast", expected a number`. Keys that the schema does not
 * have are refused, with the nearest one that it has.
 */
import { Effect, FileSystem, Option, Result, Schema, SchemaAST, SchemaIssue } from "effect"
import { Flag } from "effect/cli"
import { isAlias, isMap, isNode, isScalar, LineCounter, parse, parseDocument, stringify, type YAMLMap } from "yaml"
import { nearest, UnknownName, WrongInput } from "./failure.ts"

/** One value and where it was written. */
export interface Setting {
  readonly path: ReadonlyArray<string>
  /** Not a map unless it is empty: maps are taken apart, so that layers merge key by key. Lists are taken whole. */
  readonly value: unknown
  /** A file with its line; absent for the command line and for values of ours. */
  readonly file?: string
  /** The text as typed on the command line, where `value` is what YAML makes of it. */
  readonly text?: string
}

/** The settings of an object, such as a preset or values read from options. Undefined values are left out. */
export const fromObject = (object: object, file?: string): ReadonlyArray<Setting> => {
  const settings: Array<Setting> = []
  const walk = (value: unknown, path: ReadonlyArray<string>): void => {
    const entries = isPlain(value) ? Object.entries(value) : []
    if (entries.length > 0) for (const [key, inner] of entries) walk(inner, [...path, key])
    else if (value !== undefined && path.length > 0)
      settings.push({ path, value, ...(file === undefined ? {} : { file }) })
  }
  walk(object, [])
  return settings
}

/** The settings of a YAML (or JSON) text, with their lines. */
export const fromYaml = (text: string, file: string): Result.Result<ReadonlyArray<Setting>, WrongInput> => {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const at = (offset: number | undefined) => `${file}:${lines.linePos(offset ?? 0).line}`
  const broken = document.errors[0]
  if (broken !== undefined) {
    const reason = broken.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, "")
    return Result.fail(
      new WrongInput({ file: at(broken.pos[0]), field: "YAML", value: reason, expected: "a readable file" })
    )
  }
  if (document.contents === null) return Result.succeed([])
  if (!isMap(document.contents)) {
    return Result.fail(
      new WrongInput({
        file: at(document.contents.range?.[0]),
        field: "file",
        value: document.toJS(),
        expected: "keys and values"
      })
    )
  }
  const settings: Array<Setting> = []
  const walk = (map: YAMLMap, path: ReadonlyArray<string>): void => {
    for (const item of map.items) {
      const key = isScalar(item.key) ? String(item.key.value) : String(item.key)
      const value = isAlias(item.value) ? item.value.resolve(document) : item.value
      const inner = [...path, ...key.split(".")]
      if (isMap(value) && value.items.length > 0) walk(value, inner)
      else {
        const offset = isScalar(item.key) ? item.key.range?.[0] : undefined
        settings.push({ path: inner, value: isNode(value) ? value.toJS(document) : value, file: at(offset) })
      }
    }
  }
  walk(document.contents, [])
  return Result.succeed(settings)
}

/** The settings of a configuration file. */
export const fromFile = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  return yield* Effect.fromResult(fromYaml(yield* files.readFileString(file), file))
})

/** The settings of `--set a.b=value`; values are read as YAML, so `1e-3`, `true` and `[1, 2]` are what they look like. */
export const fromAssignment = (assignment: string): Result.Result<ReadonlyArray<Setting>, WrongInput> => {
  const equals = assignment.indexOf("=")
  const name = assignment.slice(0, Math.max(0, equals)).trim()
  if (name === "" || name.split(".").includes("")) {
    return Result.fail(new WrongInput({ field: "--set", value: assignment, expected: "a.b=value" }))
  }
  return Result.succeed(fromText(name, assignment.slice(equals + 1)))
}

const fromText = (name: string, text: string): ReadonlyArray<Setting> => {
  const read = Result.getOrElse(
    Result.try(() => parse(text, { logLevel: "error" }) as unknown),
    () => text
  )
  const path = name.split(".")
  if (!isPlain(read)) return [{ path, value: read, text }]
  // `a: b` is a sentence on a command line; a map says so by its braces.
  return text.trimStart().startsWith("{")
    ? fromObject(read).map((setting) => ({ ...setting, path: [...path, ...setting.path] }))
    : [{ path, value: text }]
}

/**
 * The options by which a command takes its configuration: `--config`, `--set`, and one for each top-level key of the
 * schema that is not itself a map, `--pack-size` for `packSize` (except the keys in `own`, which the command reads by
 * options of its own).
 * Give the values to `settingsOf`.
 */
export const settingOptions = (schema: Schema.Top, own: ReadonlyArray<string> = []) => ({
  config: Flag.String("config").pipe(
    Flag.withMetavar("FILE.yaml"),
    Flag.withDescription("Settings from a file"),
    Flag.optional
  ),
  set: Flag.String("set").pipe(
    Flag.withMetavar("a.b=value"),
    Flag.withDescription("One setting; may be repeated; --a.b value is the same"),
    Flag.atLeast(0)
  ),
  keys: Object.fromEntries(
    fields(schema.ast)
      .filter(({ name, type }) => !isMapType(type) && !own.includes(name))
      .map(({ name, type }) => [
        name,
        Flag.String(kebab(name)).pipe(
          Flag.withMetavar(choices(type)?.join("|") ?? "value"),
          Flag.withDescription(String(SchemaAST.resolveDescription(type) ?? `The setting ${name}`)),
          Flag.optional
        )
      ])
  )
})

const isMapType = (type: SchemaAST.AST): boolean =>
  SchemaAST.isObjects(type) || (SchemaAST.isUnion(type) && type.types.some(isMapType))

/** What may be given where only some words may. */
const choices = (type: SchemaAST.AST): ReadonlyArray<string> | undefined =>
  SchemaAST.isUnion(type) && type.types.every(SchemaAST.isLiteral)
    ? type.types.map(({ literal }) => String(literal))
    : undefined

const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** What was given by `settingOptions`, as layers in their order: file, `--set`, options. */
export const settingsOf = Effect.fnUntraced(function* (given: {
  readonly config: Option.Option<string>
  readonly set: ReadonlyArray<string>
  readonly keys: Readonly<Record<string, Option.Option<string>>>
}) {
  const file = Option.isSome(given.config) ? yield* fromFile(given.config.value) : []
  const set = yield* Effect.forEach(given.set, (assignment) => Effect.fromResult(fromAssignment(assignment)))
  const keys = Object.entries(given.keys).flatMap(([name, text]) =>
    Option.isSome(text) ? fromText(name, text.value) : []
  )
  return [...file, ...set.flat(), ...keys]
})

/** `--a.b value` and `--a.b=value` are `--set a.b=value`. */
export const shortenLongForms = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const short: Array<string> = []
  for (let i = 0; i < args.length; i++) {
    const argument = args[i]!
    if (argument === "--") return [...short, ...args.slice(i)]
    const [, name, value] = /^--([\w-]+(?:\.[\w-]+)+)(?:=(.*))?$/s.exec(argument) ?? []
    if (name === undefined) short.push(argument)
    else if (value !== undefined) short.push("--set", `${name}=${value}`)
    else if (args[i + 1]?.startsWith("--") ?? true) short.push("--set", name)
    else short.push("--set", `${name}=${args[++i]!}`)
  }
  return short
}

/**
 * The configuration that the layers describe, decoded. The last setting of a key counts. Fails with the first thing
 * that is wrong: unknown keys before wrong values, since the one often explains the other.
 */
export const resolveConfig = <A>(
  schema: Schema.Codec<A, any>,
  ...layers: ReadonlyArray<ReadonlyArray<Setting>>
): Effect.Effect<A, WrongInput | UnknownName> => Effect.fromResult(resolve(schema, layers.flat()))

const resolve = <A>(
  schema: Schema.Codec<A, any>,
  settings: ReadonlyArray<Setting>
): Result.Result<A, WrongInput | UnknownName> => {
  const decoded = Schema.decodeResult(schema)(merge(settings), { errors: "all", onExcessProperty: "error" })
  if (Result.isSuccess(decoded)) return Result.succeed(decoded.success)
  const problems = problemsOf(decoded.failure.issue)
  // What YAML reads as a number or a truth value may have been meant as text.
  const asText = settings.map((setting) =>
    setting.text !== undefined &&
    setting.value !== setting.text &&
    problems.some(({ path }) => same(path, setting.path))
      ? { path: setting.path, value: setting.text }
      : setting
  )
  if (asText.some((setting, i) => setting !== settings[i])) {
    const again = resolve(schema, asText)
    if (Result.isSuccess(again)) return again
  }
  const problem = problems.find(({ unknown }) => unknown) ?? problems[0]!
  const name = problem.path.join(".")
  const setting = settings.findLast(({ path }) => problem.path.every((key, i) => i >= path.length || path[i] === key))
  const file = setting?.file === undefined ? {} : { file: setting.file }
  if (problem.unknown) return Result.fail(unknownKey(schema, name, file))
  const value = problem.path.reduce<unknown>(
    (at, key) => (typeof at === "object" && at !== null ? at[key as keyof typeof at] : undefined),
    merge(settings)
  )
  return Result.fail(new WrongInput({ ...file, field: name, value, expected: problem.expected }))
}

/** A key that is near to no other is answered with its neighbours rather than with all keys there are. */
const unknownKey = (schema: Schema.Top, name: string, file: { readonly file?: string }): UnknownName => {
  const valid = keysOf(schema.ast)
  const parent = name.split(".").slice(0, -1)
  const neighbours = valid.filter((key) => same(key.split(".").slice(0, -1), parent))
  const near = nearest(name, valid)
  return new UnknownName({ ...file, kind: "key", name, valid: near === undefined ? neighbours : [near] })
}

/** The configuration as YAML, for `--dry-run` and `config.yaml`. Reading it back gives the same configuration. */
export const printConfig = <A>(schema: Schema.Codec<A, any>, config: A): string =>
  stringify(Schema.encodeSync(schema)(config), { lineWidth: 0 })

/** Dotted names of all keys of a schema, those of maps before the keys that they hold. */
export const keysOf = (ast: SchemaAST.AST, path: ReadonlyArray<string> = []): ReadonlyArray<string> =>
  fields(ast).flatMap(({ name, type }) => [[...path, name].join("."), ...keysOf(type, [...path, name])])

const fields = (ast: SchemaAST.AST): ReadonlyArray<{ readonly name: string; readonly type: SchemaAST.AST }> => {
  if (SchemaAST.isObjects(ast)) {
    return ast.propertySignatures.map(({ name, type }) => ({ name: String(name), type }))
  }
  return SchemaAST.isUnion(ast) ? ast.types.flatMap(fields) : []
}

interface Problem {
  readonly path: ReadonlyArray<string>
  readonly expected: string
  readonly unknown: boolean
}

const problemsOf = (issue: SchemaIssue.Issue): ReadonlyArray<Problem> => {
  const unknownKeyMark = "\0"
  const format = SchemaIssue.makeFormatterStandardSchemaV1({
    leafHook: (leaf) =>
      leaf._tag === "UnexpectedKey"
        ? unknownKeyMark
        : leaf._tag === "MissingKey"
          ? "a value"
          : SchemaIssue.defaultLeafHook(leaf)
  })
  return format(issue).issues.map(({ path, message }) => ({
    path: (path ?? []).map((key) => String(typeof key === "object" ? key.key : key)),
    expected: inWords(message),
    unknown: message === unknownKeyMark
  }))
}

/** `Expected a value greater than 0, got -1` says what was expected; the value is said by us. */
const inWords = (message: string): string => {
  const expected = message.replace(/^Expected /, "").replace(/, got .*$/s, "")
  const words: Record<string, string> = {
    number: "a number",
    string: "text",
    boolean: "true or false",
    array: "a list",
    object: "keys and values"
  }
  return expected
    .split(" | ")
    .map((part) => words[part] ?? part)
    .join(" or ")
}

/** Objects without a prototype, so that `__proto__` is a key like any other: an unknown one. */
const merge = (settings: ReadonlyArray<Setting>): object => {
  type Tree = { [key: string]: unknown }
  const root: Tree = Object.create(null)
  for (const { path, value } of settings) {
    let at = root
    for (const key of path.slice(0, -1)) {
      const inner = at[key]
      at = (isPlain(inner) ? inner : (at[key] = Object.create(null))) as Tree
    }
    const key = path.at(-1)!
    if (!(isPlain(value) && isPlain(at[key]))) at[key] = isPlain(value) ? Object.create(null) : value
  }
  return root
}

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const same = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a.length === b.length && a.every((key, i) => key === b[i])
