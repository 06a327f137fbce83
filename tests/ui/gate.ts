/** A gate in front of a registry: while it is closed, nothing can be uploaded, and builds wait during the push. */

import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class Gate {
  private open = true;
  private waiting: (() => void)[] = [];

  private constructor(
    private readonly server: Server,
    readonly address: string
  ) {}

  static async before(registry: string): Promise<Gate> {
    const [host = '', port = ''] = registry.split(':');
    const server = createServer(client => {
      const upstream = connect(Number(port), host);
      client.on('data', data => gate.pass(data, client, upstream));
      upstream.pipe(client);
      for (const [one, other] of [
        [client, upstream],
        [upstream, client]
      ] as const) {
        one.on('error', () => other.destroy());
        one.on('close', () => other.destroy());
      }
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const gate = new Gate(server, `localhost:${(server.address() as AddressInfo).port}`);
    return gate;
  }

  close(): void {
    this.open = false;
  }

  release(): void {
    this.open = true;
    this.waiting.splice(0).forEach(go => go());
  }

  end(): void {
    this.release();
    this.server.close();
  }

  private pass(data: Buffer, client: Socket, upstream: Socket): void {
    const uploads = /^(POST|PATCH|PUT) \S+\/blobs\/uploads\//.test(data.toString('latin1', 0, 300));
    if (this.open || !uploads) {
      upstream.write(data);
      return;
    }
    client.pause();
    this.waiting.push(() => {
      upstream.write(data);
      client.resume();
    });
  }
}
