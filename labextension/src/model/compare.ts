/** What changed between two sets of packages. */

export interface PackageVersion {
  name: string;
  version: string;
}

export interface Change {
  name: string;
  before: string | null;
  after: string | null;
}

/** The packages that were added, removed or changed, by name. */
export function changes(before: readonly PackageVersion[], after: readonly PackageVersion[]): Change[] {
  const [old, now] = [versions(before), versions(after)];
  const names = [...new Set([...old.keys(), ...now.keys()])].sort();
  return names
    .map(name => ({ name, before: old.get(name) ?? null, after: now.get(name) ?? null }))
    .filter(change => change.before !== change.after);
}

function versions(packages: readonly PackageVersion[]): Map<string, string> {
  return new Map(packages.map(({ name, version }) => [name, version]));
}

/** The packages of an explicit lock file: a line for each, `channel/subdir/name-version-build.conda#sha256`; pip's are comments. */
export function explicitPackages(text: string): PackageVersion[] {
  return text.split('\n').flatMap(line => {
    const conda = /^\S+\/([^/#?]+)-([^-/]+)-[^-/]+\.(?:conda|tar\.bz2)(?:#.*)?$/.exec(line.trim());
    if (conda) {
      return [{ name: conda[1] ?? '', version: conda[2] ?? '' }];
    }
    const pip = /^#\s*(?:pip:?\s+)?([A-Za-z0-9][\w.-]*)==([^\s;]+)/.exec(line.trim());
    return pip ? [{ name: pip[1] ?? '', version: pip[2] ?? '' }] : [];
  });
}
