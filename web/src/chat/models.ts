// SPDX-License-Identifier: Apache-2.0
/*
 * models - what the picker shows: roles and models, where each of them is and whether it is ready.
 *
 *   GET /router/models       models by provider, with locality and whether one is in memory
 *   GET /router/providers    is the provider there, does it load
 */
import { get } from "../shared/api.ts";

export type Readiness = "loaded" | "not loaded" | "ready" | "loading" | "unreachable" | "cloud";

export interface Choice {
  name: string; // what is sent as `model`
  words: string; // what a person reads
}

export interface Choices {
  roles: Choice[];
  local: Choice[];
  cloud: Choice[];
  missing: Choice[];
}

export interface ModelRow {
  name: string;
  provider: string;
  is_local: boolean;
  loaded: boolean;
  context: number | null;
}

export interface ModelsAnswer {
  models: ModelRow[];
  roles: Record<string, string[]>;
}

export interface ProviderRow {
  provider: string;
  kind?: string;
  is_available: boolean;
  state: string; // up, loading, ...
  missing_models?: string[]; // configured, and not there
}

export function readiness(model: ModelRow, providers: readonly ProviderRow[]): Readiness {
  const provider = providers.find((p) => p.provider === model.provider);
  if (provider !== undefined && !provider.is_available) return provider.state === "loading" ? "loading" : "unreachable";
  if (!model.is_local) return "cloud";
  if (model.loaded) return "loaded";
  return provider?.kind === "openai" ? "ready" : "not loaded"; // such a server does not tell what it holds in memory
}

export function choices(answer: ModelsAnswer, providers: readonly ProviderRow[]): Choices {
  const out: Choices = { roles: [], local: [], cloud: [], missing: [] };
  const names = new Map<string, number>();
  for (const model of answer.models) names.set(model.name, (names.get(model.name) ?? 0) + 1);
  for (const model of answer.models) {
    const state = readiness(model, providers);
    const name = `${model.provider}/${model.name}`;
    const shown = (names.get(model.name) ?? 0) > 1 ? name : model.name;
    (model.is_local ? out.local : out.cloud).push({ name, words: state === "cloud" ? `${shown} (${model.provider})` : `${shown} (${state})` });
  }
  for (const role of Object.keys(answer.roles)) out.roles.push({ name: role, words: role });
  for (const { provider, missing_models: missing } of providers)
    for (const name of missing ?? []) out.missing.push({ name: `${provider}/${name}`, words: `${name} (missing at ${provider})` });
  return out;
}

/** There is nobody who could answer. */
export function nobody(c: Choices | undefined): boolean {
  return c !== undefined && c.local.length + c.cloud.length === 0;
}

export function isCloud(c: Choices | undefined, model: string): boolean {
  return c?.cloud.some((one) => one.name === model) === true;
}

export async function loadChoices(signal?: AbortSignal): Promise<Choices> {
  const [models, providers] = await Promise.all([get<ModelsAnswer>("/router/models", signal), get<ProviderRow[]>("/router/providers", signal)]);
  return choices(models, providers);
}
