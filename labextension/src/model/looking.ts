/** Looks at the server now and every few seconds while a person sees the panel. */

/** The time between two looks, in milliseconds. */
const INTERVAL = 5000;

export class Looking {
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly look: () => void) {}

  /** @param sees - Whether the panel is visible, in a visible page. */
  attend(sees: boolean): void {
    clearInterval(this.timer);
    this.timer = undefined;
    if (sees) {
      this.timer = setInterval(this.look, INTERVAL);
      this.look();
    }
  }
}
