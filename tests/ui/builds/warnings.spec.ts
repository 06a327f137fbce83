import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, Panel, test } from '../panel';

/** Prints the paths in all layers of an OCI archive. */
const LIST = `
import io, json, sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    read = lambda digest: archive.extractfile("blobs/" + digest.replace(":", "/")).read()
    index = json.loads(archive.extractfile("index.json").read())
    manifest = json.loads(read(index["manifests"][0]["digest"]))
    for layer in manifest["layers"]:
        for name in tarfile.open(fileobj=io.BytesIO(read(layer["digest"]))).getnames():
            print(name)
`;

function furnish(prefix: string, source: string, python: string): void {
  writeFileSync(join(prefix, 'data.bin'), Buffer.alloc(3_000_000, 'x'));
  mkdirSync(join(prefix, 'share/notes'), { recursive: true });
  writeFileSync(join(prefix, 'share/notes/one.txt'), 'one');
  writeFileSync(join(prefix, 'share/notes/two.txt'), 'two');
  writeFileSync(join(prefix, 'share/table.csv'), '1,2');
  mkdirSync(join(source, 'mylib'), { recursive: true });
  writeFileSync(join(source, 'mylib/__init__.py'), 'x = 1\n');
  const site = join(prefix, `lib/python${python}/site-packages`);
  const info = join(site, 'mylib-1.0.dist-info');
  mkdirSync(info, { recursive: true });
  writeFileSync(join(site, 'mylib.pth'), `${source}\n`);
  writeFileSync(join(info, 'METADATA'), 'Metadata-Version: 2.1\nName: mylib\nVersion: 1.0\n');
  writeFileSync(join(info, 'direct_url.json'), JSON.stringify({ url: `file://${source}`, dir_info: { editable: true } }));
  const files = ['mylib.pth', ...['METADATA', 'direct_url.json', 'RECORD'].map(name => `mylib-1.0.dist-info/${name}`)];
  writeFileSync(join(info, 'RECORD'), files.map(name => `${name},,\n`).join(''));
}

test.afterAll(({ stage }) => {
  const site = `lib/python${stage.python}/site-packages`;
  for (const name of ['data.bin', 'share/notes', 'share/table.csv', `${site}/mylib.pth`, `${site}/mylib-1.0.dist-info`]) {
    rmSync(join(stage.second, name), { recursive: true, force: true });
  }
});

test('what is left out is not in the image, and the choice stays with the environment', async ({ page, panel, stage }) => {
  test.setTimeout(240_000);
  furnish(stage.second, join(stage.folder, 'src/mylib'), stage.python);
  await panel.open('other');
  await panel.width(360);
  const know = panel.node.getByRole('region', { name: 'What to know' });
  await expect(know.getByRole('heading', { name: 'Others cannot rebuild it' })).toBeVisible();
  await expect(panel.go).toBeInViewport();
  await panel.inOrder();
  await panel.picture('warnings');

  const untracked = know.getByRole('button', { name: /^No package owns 4 files/ });
  await untracked.click();
  await expect(know.getByRole('list', { name: 'Files and folders' }).getByRole('listitem')).toHaveCount(5);
  await expect(panel.go).toBeInViewport();
  await panel.inOrder();
  await panel.picture('warnings-list');
  await know.getByRole('button', { name: 'Leave it out: data.bin', exact: true }).click();
  await know.getByRole('button', { name: 'Leave it out: share/notes/', exact: true }).click();
  const pattern = know.getByRole('textbox', { name: /^Pattern of files to leave out/ });
  await pattern.fill('*.csv');
  await pattern.press('Enter');
  await expect(untracked).toBeHidden({ timeout: 60_000 });
  await expect(panel.node.locator(':focus')).toHaveCount(1);
  await know.getByRole('button', { name: /^Leave it out: mylib 1.0 is an editable install/ }).click();
  for (const text of ['/data.bin', '/share/notes/', '*.csv', 'mylib']) {
    await expect(know.getByText(`Left out: ${text}`)).toBeVisible();
  }
  await expect(know.getByRole('heading', { name: 'Your choices' })).toBeVisible();
  await know.getByRole('button', { name: 'Undo: /share/notes/' }).click();
  await expect(know.getByRole('button', { name: /^No package owns 2 files/ })).toBeVisible({ timeout: 60_000 });
  await expect(panel.node.locator(':focus')).toHaveCount(1);
  await panel.inOrder();
  await panel.picture('choices');

  const [why] = await Promise.all([page.waitForEvent('popup'), know.getByRole('link', { name: /^Why\? No package owns/ }).click()]);
  await expect(why.getByRole('heading', { name: 'Files that belong to no package' })).toBeInViewport();
  await why.close();

  await page.reload();
  await expect(know.getByText('Left out: /data.bin')).toBeVisible({ timeout: 60_000 });
  const second = new Panel(await page.context().newPage(), stage);
  await second.open('other');
  await expect(second.node.getByText('Left out: /data.bin')).toBeVisible({ timeout: 60_000 });
  await second.button('Undo: /data.bin').click();
  await expect(know.getByText('Left out: /data.bin')).toBeHidden({ timeout: 60_000 });
  await know.getByRole('button', { name: /^No package owns/ }).click();
  await know.getByRole('button', { name: 'Leave it out: data.bin', exact: true }).click();
  await expect(second.node.getByText('Left out: /data.bin')).toBeVisible({ timeout: 60_000 });
  await second.page.close();
  await panel.button('Save as archive').click();
  await expect(panel.node.getByText('Comparing with the registry…')).toBeHidden();
  await panel.reference.fill('sci:choices');
  await panel.go.click();
  await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 120_000 });
  await expect(know).toBeHidden();
  await panel.button(/things? to know about this image/).click();
  await expect(panel.node.getByRole('heading', { name: 'Good to know' })).toBeVisible();
  await panel.inOrder();
  await panel.picture('warnings-after');

  const names = execFileSync('python3', ['-c', LIST, stage.file('sci-choices.tar')], { encoding: 'utf8', maxBuffer: 1 << 26 }).split('\n');
  expect(names).toContain('opt/env/share/notes/one.txt');
  expect(names).toContain('opt/env/bin/python');
  expect(names.filter(name => /data\.bin|table\.csv|mylib/.test(name))).toEqual([]);
});
