/** The reference of an image: a suggestion, and checks of its form that need no server. */

/** A suggested repository and tag for an environment: its name, and the first characters of its lock file's digest. */
export function suggestedReference(registry: string, environment: string, lockDigest: string): string {
  const name = repository(environment) || 'environment';
  const tag = lockDigest.replace(/^sha256:/, '').slice(0, 12) || 'latest';
  const prefix = registry.replace(/\/+$/, '');
  return `${prefix ? `${prefix}/` : ''}${name}:${tag}`;
}

/** A name in the form of a repository. Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests */
export function repository(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
}

/** Whether a text has the form of a reference; the server decides. */
export function looksLikeReference(text: string): boolean {
  const host = String.raw`(?:[a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\])(?::\d+)?/`;
  const part = String.raw`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`;
  return new RegExp(String.raw`^(?:${host})?${part}(?:/${part})*(?::\w[\w.-]{0,127})?$`).test(text);
}

/** Whether a reference names its registry, so that it can be pushed to without the setting `registry`. */
export function namesRegistry(reference: string): boolean {
  const first = reference.split('/')[0] ?? '';
  return reference.includes('/') && (/[.:]/.test(first) || first === 'localhost');
}
