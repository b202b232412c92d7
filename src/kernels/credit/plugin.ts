/** Estimators that come from a file. */
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import type { Credit } from "./estimator.ts"

/** An estimator as a plug-in exports it; nothing is known of it but that it is a function. */
export type Plugin = (experiences: ReadonlyArray<any>, options: any) => Credit

/** The default export of an ES module, TypeScript or JavaScript. Rejects with the reason why there is none. */
export const loadPlugin = async (file: string): Promise<Plugin> => {
  const { default: estimator } = await import(pathToFileURL(resolve(file)).href)
  if (typeof estimator !== "function") throw new Error(`its default export is ${typeof estimator}, not a function`)
  return estimator
}
