/** Advice to make an image smaller: its largest packages, and lighter packages that can replace them. */

import { packageName } from './layerMap';

export interface Heavy {
  name: string;
  size: number;
  /** The advice for the package; null if there is no general advice. */
  advice: { kind: 'lighter'; instead: string } | { kind: 'cpu' | 'compiler' | 'notebook' } | null;
}

/** Packages of conda-forge, and lighter packages that replace them for most people. */
const LIGHTER: Record<string, string> = {
  dask: 'dask-core',
  matplotlib: 'matplotlib-base',
  nbconvert: 'nbconvert-core',
  pyarrow: 'pyarrow-core',
  pyside6: 'matplotlib-base',
  'qt-main': 'matplotlib-base',
  'qt6-main': 'matplotlib-base',
  mkl: 'libblas=*=*openblas'
};

const KINDS: ['cpu' | 'compiler' | 'notebook', RegExp][] = [
  ['cpu', /^(cuda|cudnn|cudatoolkit|libcu|nccl|libtorch|pytorch$|torch$|tensorflow$|tensorflow-base$|jaxlib$|nvidia-)/],
  ['compiler', /^(gcc|gxx|gfortran|binutils|clang|llvm-tools|rust$|sysroot|libgcc-devel|libstdcxx-devel)/],
  ['notebook', /^(jupyterlab|notebook|nodejs|pandoc|jupyter_server)$/]
];

/** The largest packages that have a layer of their own, each with advice. */
export function heaviest(layers: readonly { packages: string[]; size: number }[], most = 5): Heavy[] {
  return layers
    .filter(layer => layer.packages.length === 1)
    .sort((a, b) => b.size - a.size)
    .slice(0, most)
    .map(({ packages, size }) => {
      const name = packageName(packages[0] ?? '');
      return { name, size, advice: adviceOf(name) };
    });
}

function adviceOf(name: string): Heavy['advice'] {
  const instead = Object.hasOwn(LIGHTER, name) ? LIGHTER[name] : undefined;
  if (instead) {
    return { kind: 'lighter', instead };
  }
  const kind = KINDS.find(([, names]) => names.test(name))?.[0];
  return kind ? { kind } : null;
}
