/** A fake of the server for the model, controlled by a test. */

import type {
  Build,
  BuildRequest,
  Builds,
  Check,
  CheckRequest,
  Change,
  Difference,
  Environments,
  Export,
  ExportRequest,
  ImageKernel,
  ImageRun,
  Inspection,
  Licenses,
  LockfileWriting,
  LockFormat,
  Login,
  LoginRequest,
  Logins,
  Permission,
  Recreation,
  RecreationRequest,
  SeenImage,
  Side,
  Snapshot,
  SnapshotRequest,
  Source,
  Stamp,
  Status,
  Written
} from '../src/api/contract';
import type { Server } from '../src/api/server';
import type { Follower } from '../src/api/updates';
import { aBuild, aCheck, aKernel, anInspection, aRecreation, aSnapshot, aStatus } from './things';

/** A server whose answers a test gives at any time or never. It records its requests. */
export class FakeServer implements Server {
  known: Build[] = [];
  /** The number of builds that the history has besides the known ones. */
  older = 0;
  started: BuildRequest[] = [];
  followers = new Map<string, Follower>();
  stopped: string[] = [];
  differences = new Map<string, Change[]>();
  forgotten: string[] = [];
  refuses: object | null = null;
  /** The environment, if it has changed since the last snapshot. */
  changedTo: Partial<Snapshot> | null = null;
  stamps: Source[] = [];
  kept: string[] = [];
  exported: object[] = [];
  knownLogins: Logins['logins'] = [];
  /** The names that the model asked a permission for. */
  permissions: string[] = [];
  /** The requests for the contents of an environment. */
  looked: object[] = [];
  licensed: Licenses = { licenses: {}, packages: [], commercial: [], unlicensed: [] };
  /** The images that the model asked for, and what the server knows of them. */
  inspected: string[] = [];
  image = anInspection();
  /** The images whose kernels were installed, and the kernels of the server. */
  installed: SeenImage[] = [];
  imageKernelsNow: ImageKernel[] = [];
  /** The images whose JupyterLab was started. */
  ran: SeenImage[] = [];
  running: ImageRun[] = [];
  /** The environments that are made of images, and the requests for them. */
  made: Recreation[] = [];
  asked: RecreationRequest[] = [];
  /** The checks of images, and the requests for them. */
  checked: Check[] = [];
  checksAsked: CheckRequest[] = [];
  now = aStatus();
  kernels: Environments = { kernels: [], kernelspecs: [] };
  private last: Partial<Snapshot> = {};
  snapshots: {
    request: SnapshotRequest;
    signal: AbortSignal | undefined;
    answer(given: Partial<Snapshot>): void;
    fail(error: object): void;
  }[] = [];

  async status(): Promise<Status> {
    return this.now;
  }

  async settings(): Promise<Status> {
    return { ...this.now, probes: [] };
  }

  async environments(): Promise<Environments> {
    this.refuse();
    return this.kernels;
  }

  archiveUrl(id: string): string {
    return `/condabuild/builds/${id}/archive`;
  }

  snapshot(request: SnapshotRequest, signal?: AbortSignal): Promise<Snapshot> {
    return new Promise((resolve, reject) =>
      this.snapshots.push({ request, signal, answer: given => resolve(aSnapshot((this.last = given))), fail: reject })
    );
  }

  async contents(request: object = {}): Promise<Snapshot> {
    this.looked.push(request);
    return aSnapshot(this.changedTo ?? this.last);
  }

  whyUrl(why: string): string {
    return `docs/${why}`;
  }

  async stamp(source: Source): Promise<Stamp> {
    this.stamps.push(source);
    const { prefix, stamp } = await this.contents();
    return { prefix, stamp };
  }

  async login({ registry, user }: LoginRequest): Promise<Login> {
    this.refuse();
    this.kept.push(`${user}@${registry}`);
    return { registry, user, place: '/home/ada/.docker/config.json', tested: true };
  }

  async exports(request: ExportRequest): Promise<Export> {
    this.refuse();
    this.exported.push(request);
    const files = [{ path: '.github/workflows/image.yml', text: 'on: push', executable: false }];
    return { files, next: 'Commit them.', warnings: [], written: 'folder' in request ? [`${request.folder}/Dockerfile`] : [] };
  }

  async lockfile(digest: string, format: LockFormat): Promise<string> {
    return `${digest} ${format}`;
  }

  async writeLockfile(digest: string, writing: LockfileWriting): Promise<Written> {
    this.exported.push({ digest, ...writing });
    return { written: [`${writing.folder}/x.yml`] };
  }

  async logins(): Promise<Logins['logins']> {
    return this.knownLogins;
  }

  async permission(reference: string): Promise<Permission> {
    this.permissions.push(reference);
    return { registry: 'registry.lab.org', repository: 'team/sci', user: '', problem: '', allowed: true, fault: null };
  }

  async licenses(): Promise<Licenses> {
    return this.licensed;
  }

  async inspect(reference: string): Promise<Inspection> {
    this.inspected.push(reference);
    this.refuse();
    return { ...this.image, reference };
  }

  async imageKernels(): Promise<ImageKernel[]> {
    return this.imageKernelsNow;
  }

  async installKernels(image: SeenImage): Promise<ImageKernel[]> {
    this.refuse();
    this.installed.push(image);
    this.imageKernelsNow = [aKernel({ reference: image.reference, digest: image.seen, way: image.without_engine ? 'bubblewrap' : 'engine' })];
    return this.imageKernelsNow;
  }

  async removeKernel(name: string): Promise<void> {
    this.imageKernelsNow = this.imageKernelsNow.filter(kernel => kernel.name !== name);
  }

  async runs(): Promise<ImageRun[]> {
    return this.running;
  }

  async startRun(image: SeenImage): Promise<ImageRun> {
    this.refuse();
    const { reference, seen } = image;
    this.ran.push(image);
    const run: ImageRun = { id: 'ef'.repeat(8), reference, digest: seen, state: 'starting', address: '', complete: 0, total: 0, fault: null };
    this.running = [run];
    return run;
  }

  async endRun(id: string): Promise<void> {
    this.running = this.running.filter(run => run.id !== id);
  }

  async recreations(): Promise<Recreation[]> {
    return this.made;
  }

  async recreate(request: RecreationRequest): Promise<Recreation> {
    this.refuse();
    this.asked.push(request);
    this.made = [aRecreation({ digest: request.seen })];
    return aRecreation({ digest: request.seen });
  }

  async endRecreation(id: string): Promise<Recreation> {
    const found = this.made.find(made => made.id === id);
    this.made = this.made.filter(made => made.id !== id);
    return found?.state === 'running' ? { ...found, state: 'cancelled' } : (found ?? aRecreation({ state: 'cancelled' }));
  }

  async checks(): Promise<Check[]> {
    return this.checked;
  }

  async check(request: CheckRequest): Promise<Check> {
    this.refuse();
    this.checksAsked.push(request);
    this.checked = [aCheck({ build: request.build })];
    return aCheck({ build: request.build });
  }

  async endCheck(build: string): Promise<Check> {
    this.checked = [];
    return aCheck({ build, state: 'cancelled' });
  }

  async builds(): Promise<Builds> {
    this.refuse();
    return { builds: this.known, total: this.known.length + this.older };
  }

  async active(): Promise<Build[]> {
    return this.known.filter(({ state }) => state === 'queued' || state === 'running');
  }

  async start(request: BuildRequest): Promise<Build> {
    this.started.push(request);
    this.refuse();
    const build = aBuild({ id: String(this.started.length).padStart(16, 'a'), state: 'running' });
    this.known = [build, ...this.known];
    return build;
  }

  async cancel(id: string): Promise<Build> {
    return { ...this.find(id), cancelling: true };
  }

  async forget(id: string): Promise<void> {
    this.refuse();
    this.forgotten.push(id);
  }

  async difference(...sides: [Side, Side]): Promise<Difference> {
    const named = (side: Side): string => {
      if ('build' in side) {
        return this.find(side.build).result?.environment ?? '';
      }
      return Object.values(side).join();
    };
    const [before, after] = sides.map(named) as [string, string];
    const changes = this.differences.get(`${before} ${after}`) ?? [];
    const files_changed = changes.filter(({ manager }) => manager === 'file').length;
    return { equal: !changes.length, before, after, same: 1, files_compared: true, files_changed, changes };
  }

  follow(id: string, follower: Follower): () => void {
    this.followers.set(id, follower);
    return () => void this.stopped.push(id);
  }

  /** End a build, and send the ended build to its follower. */
  end(id: string, change: Partial<Build>): void {
    this.known = this.known.map(build => (build.id === id ? { ...build, ...change } : build));
    this.followers.get(id)?.build(this.find(id));
  }

  private find(id: string): Build {
    const build = this.known.find(each => each.id === id);
    if (!build) {
      throw { code: 'not_found', message: 'There is no such build.', hint: '' };
    }
    return build;
  }

  private refuse(): void {
    if (this.refuses) {
      throw this.refuses;
    }
  }
}
