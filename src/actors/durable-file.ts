/** Writing files so that a power cut or `kill -9` leaves either what was there or what was meant, never half of it. */
import { Effect, FileSystem, type PlatformError, type Scope } from "effect"
import { dirname } from "node:path"

/** Replaces a file's content at once: a temporary file beside it, flushed, then renamed over it. */
export const writeDurably = Effect.fnUntraced(function* (path: string, content: string | Uint8Array) {
  const files = yield* FileSystem.FileSystem
  const temporary = `${path}.partial`
  yield* withFile(temporary, "w", (file) =>
    Effect.andThen(file.writeAll(typeof content === "string" ? new TextEncoder().encode(content) : content), file.sync)
  )
  yield* files.rename(temporary, path)
  yield* flush(dirname(path))
})

/** Waits until what was written to a file, or the names in a folder, are on the disk. */
export const flush = (path: string) => withFile(path, "r", (file) => file.sync)

const withFile = <A>(
  path: string,
  flag: FileSystem.OpenFlag,
  use: (file: FileSystem.File) => Effect.Effect<A, PlatformError.PlatformError, Scope.Scope>
) => Effect.scoped(Effect.flatMap(FileSystem.FileSystem, (files) => Effect.flatMap(files.open(path, { flag }), use)))
