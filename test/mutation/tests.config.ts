/** The tests that mutants of the estimators and losses are held against. */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/kernels/credit/*.test.ts"],
    // They plant faults of their own around another estimator.
    exclude: ["test/kernels/credit/{fuzz,planted}.test.ts"],
    setupFiles: ["test/setup.ts"],
    testTimeout: 60_000
  }
})
