/** The fuzzer alone: what it would find of an estimator's mutants. */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { include: ["test/kernels/credit/silence.test.ts"], setupFiles: ["test/setup.ts"], testTimeout: 60_000 }
})
