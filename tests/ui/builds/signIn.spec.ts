/** A person signs in to a registry in the panel, without Docker and without a terminal. */

import { expect, test } from '../panel';

const [LOCKED = '', USER = '', PASSWORD = ''] = (process.env['CONDABUILD_UI_LOCKED'] ?? '').split(' ');

test('a registry that asks for a login gets it in the panel, before a build and after one', async ({ panel }) => {
  await panel.open();
  await panel.width(300);
  await panel.reference.fill(`${LOCKED}/team/env:v1`);
  const plan = panel.node.getByRole('region', { name: 'What will happen' });
  await expect(plan.getByText(/requires a login/)).toBeVisible();
  await panel.go.click();
  await expect(plan).toBeHidden({ timeout: 60_000 });
  await expect(panel.node.getByText(/requires a login/).first()).toBeVisible({ timeout: 60_000 });
  await panel.button(`Sign in to ${LOCKED}…`).click();
  const form = panel.node.getByRole('form', { name: `Sign in to ${LOCKED}` });
  await expect(form.getByLabel('User')).toBeFocused();
  await form.getByLabel('User').fill(USER);
  await form.getByLabel('Password or token').fill('wrong');
  await form.getByLabel('Password or token').press('Enter');
  await expect(form.getByText(/does not accept the user name ada/)).toBeVisible();
  await expect(form.getByLabel('Password or token')).toHaveValue('');
  await panel.inOrder();
  await panel.picture('sign-in');
  await form.getByLabel('Password or token').fill(PASSWORD);
  await form.getByRole('button', { name: 'Sign in' }).click();
  await expect(panel.node.getByText(`${LOCKED} accepts the login of ${USER}.`)).toBeVisible();
  await panel.inOrder();
  await panel.picture('signed-in');
  expect(await panel.page.content()).not.toContain(PASSWORD);

  await panel.button(/Environment and history/).click();
  await expect(plan.getByText(/requires a login/)).toBeHidden();
  await expect(panel.node.getByText(`Signed in as ${USER}: may push to team/env`)).toBeVisible();
  await panel.go.click();
  await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });

  await panel.button(/Environment and history/).click();
  await panel.button('Choose a registry').click();
  const list = panel.node.getByRole('list', { name: 'Registries' });
  await expect(list.getByRole('button', { name: `${LOCKED}/team` })).toContainText(`used before · signed in as ${USER}`);
  await panel.inOrder();
  await panel.picture('registries');
  await list.getByRole('button', { name: /the registry of this server/ }).click();
  await expect(panel.reference).toHaveValue(`${panel.stage.gate.address}/${panel.stage.team}/env:v1`);
  await expect(panel.node.getByText(`No login needed: may push to ${panel.stage.team}/env`)).toBeVisible();
});
