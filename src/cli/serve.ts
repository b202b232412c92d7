/** `constellate serve`: a policy as an OpenAI-compatible endpoint. */
import { Effect, Schema } from "effect"
import { Argument, Command } from "effect/cli"
import { basename, resolve } from "node:path"
import { startInference } from "../actors/inference.ts"
import { openFixedModel } from "../actors/fixed-model.ts"
import { serve as listen } from "../actors/serve.ts"
import { resolveConfig, settingOptions, settingsOf } from "./config.ts"
import { openDevices } from "./device.ts"
import { WrongInput } from "./failure.ts"
import { answer, json } from "./output.ts"
import { checkDtype, checkThinking, describePolicyFolder, openChatOf, policyFields } from "./policy.ts"

const withDefault = <S extends Schema.Top>(schema: S, value: S["Type"]) =>
  schema.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(value)))

const count = (description: string) => Schema.Int.check(Schema.isGreaterThan(0)).annotate({ description })

const ServeConfig = Schema.Struct({
  host: withDefault(
    Schema.NonEmptyString.annotate({ description: "Address to listen on; default 127.0.0.1, this machine only" }),
    "127.0.0.1"
  ),
  port: withDefault(
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 })).annotate({
      description: "Default 8000; 0 takes a free one"
    }),
    8000
  ),
  name: Schema.optionalKey(
    Schema.NonEmptyString.annotate({ description: "By which clients ask for the policy; default: its folder's" })
  ),
  seed: withDefault(Schema.Int.annotate({ description: "For requests that bring no seed; default 1" }), 1),
  shards: withDefault(count("Model workers, each a thread; default 2"), 2),
  maxWaiting: withDefault(count("Most replies on their way; default 1024"), 1024),
  device: policyFields.device,
  dtype: policyFields.dtype,
  thinking: policyFields.thinking
})

export const serve = Command.make(
  "serve",
  {
    policy: Argument.String("policy").pipe(Argument.withDescription("A checkpoint folder or a run folder")),
    json,
    ...settingOptions(ServeConfig)
  },
  Effect.fnUntraced(function* ({ json, policy, ...given }) {
    const options = yield* resolveConfig(ServeConfig, yield* settingsOf(given))
    if (policy.startsWith("scripted:")) {
      const expected = "a checkpoint folder or a run folder: scripted agents have no tokens to serve"
      return yield* new WrongInput({ field: "POLICY", value: policy, expected })
    }
    const checkpoint = yield* describePolicyFolder(policy)
    const chat = yield* openChatOf(policy, checkpoint)
    yield* checkThinking(policy, chat, options.thinking)
    const devices = yield* openDevices(options.device ?? "cpu")
    yield* checkDtype(options.dtype, checkpoint.config, devices)
    return yield* Effect.scoped(
      Effect.gen(function* () {
        const { config, tokenizer } = checkpoint
        const { policyVersion } = checkpoint.declares
        const workers = yield* openFixedModel(checkpoint, {
          devices,
          quantised: options.dtype === "int8",
          shards: options.shards
        })
        const model = options.name ?? basename(resolve(policy))
        const actor = { name: model, workers, end: chat.ends[0]!, policyVersion: () => policyVersion }
        const url = yield* listen({
          ...options,
          thinking: options.thinking,
          model,
          policyVersion,
          tokenizer,
          chat,
          maxPositions: config.maxPositions,
          generate: yield* startInference(actor)
        }).pipe(
          Effect.catchTag("ServeError", ({ cause }) => {
            const why = cause instanceof Error ? cause.message : String(cause)
            return Effect.fail(new WrongInput({ field: "port", value: options.port, expected: `a free one (${why})` }))
          })
        )
        const document = { url, model, policyVersion, maxPositions: config.maxPositions }
        yield* answer(json, document, () => `serving ${model} at ${url} (Ctrl-C ends it)`)
        return yield* Effect.never
      })
    )
  })
).pipe(
  Command.withDescription("An OpenAI-compatible endpoint for a policy"),
  Command.withExamples([
    { command: "constellate serve runs/first --port 8000", description: "Serve the last checkpoint of a run" },
    {
      command: "constellate serve path/to/model --port 0 --json",
      description: "On a free port, which is printed"
    }
  ])
)
