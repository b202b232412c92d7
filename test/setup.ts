import { expect } from "vitest"

// The machine's own Node may be older and would still run most of the suite; the pinned one is what we promise.
expect(process.versions.node.split(".")[0], "run tests through `npm test`, so that the pinned Node is used").toBe("24")
