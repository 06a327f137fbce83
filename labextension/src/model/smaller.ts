/** Advice to make an image smaller: its largest packages, and lighter packages that can replace them. */

import { packageName } from './layerMap';

export interface Heavy {
  name: string;
  size: number;
  /** The advice for the package; null if there is no general advice. */
  advice: { kind: 'lighter'; instead: string } | { kind: 'cpu' | 'compiler' | 'files' | 'needed' | 'notebook' } | null;
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

/** What every environment with Python needs. */
const NEEDED = /^(python|libpython|pypy|_libgcc_mutex|libgcc|libstdcxx|openssl|ca-certificates|glibc)/;

/** The largest packages that have a layer of their own, and the files of no package, each with advice. */
export function heaviest(layers: readonly { key: string; packages: string[]; size: number }[], most = 5): Heavy[] {
  return layers
    .filter(layer => layer.packages.length === 1)
    .sort((a, b) => b.size - a.size)
    .slice(0, most)
    .map(({ key, packages, size }) => {
      const [first = ''] = packages;
      // The key of a layer of packages is a digest. The layer of other files has its title as its key.
      const name = key === first ? first : packageName(first);
      return { name, size, advice: key === first ? { kind: 'files' } : adviceOf(name) };
    });
}

function adviceOf(name: string): Heavy['advice'] {
  const instead = Object.hasOwn(LIGHTER, name) ? LIGHTER[name] : undefined;
  if (instead) {
    return { kind: 'lighter', instead };
  }
  if (NEEDED.test(name) && !/^libgcc-devel|^libstdcxx-devel/.test(name)) {
    return { kind: 'needed' };
  }
  const kind = KINDS.find(([, names]) => names.test(name))?.[0];
  return kind ? { kind } : null;
}
