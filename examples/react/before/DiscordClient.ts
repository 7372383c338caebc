// As the report had it: states are checked before anything is done, and pauses are to clean up.

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export class DiscordClient {
  private ws: WebSocket | null = null;
  private state = { isConnecting: false, isConnected: false };
  private isManuallyDisconnected = false;

  constructor(
    private readonly url: string,
    private readonly onMessage: (text: string) => void,
  ) {}

  async connect(): Promise<void> {
    if (this.state.isConnecting || this.isManuallyDisconnected) return;
    if (this.ws && this.ws.readyState === WebSocket.OPEN && this.state.isConnected) return;
    if (this.ws && this.ws.readyState === WebSocket.CONNECTING) return;
    if (this.ws) {
      this.ws.close();
      this.ws = null;
      await pause(100);
    }
    this.state.isConnecting = true;
    try {
      const ws = new WebSocket(this.url);
      this.ws = ws;
      await new Promise<void>((resolve, reject) => {
        ws.onopen = () => resolve();
        ws.onerror = () => reject(new Error('the connection failed'));
      });
      ws.onmessage = ({ data }) => this.onMessage(data);
      ws.onclose = () => (this.state.isConnected = false);
      this.state.isConnected = true;
    } finally {
      this.state.isConnecting = false;
    }
  }

  disconnect() {
    this.isManuallyDisconnected = true;
    this.ws?.close();
    this.state.isConnected = false;
  }
}
