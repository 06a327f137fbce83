/** Notifications on the desktop, for a person who looks at another tab or program while a build ends. */

export class Desktop {
  private enabled = false;

  /** Enable or disable the notifications. The browser asks the person for permission when they are enabled first. */
  enable(yes: boolean): void {
    this.enabled = yes;
    if (yes && 'Notification' in window && Notification.permission === 'default') {
      void Notification.requestPermission();
    }
  }

  /** @param open - Displays what the notification is about; the person has clicked on it. */
  tell(title: string, text: string, open: () => void): void {
    if (!this.enabled || document.hasFocus() || !('Notification' in window) || Notification.permission !== 'granted') {
      return;
    }
    const notification = new Notification(title, { body: text });
    notification.onclick = () => {
      window.focus();
      open();
      notification.close();
    };
  }
}
