// onesocket: one WebSocket, however many components and tabs ask for it.

export { Client } from './client/client.js';
export { Delivery } from './client/delivery.js';
export { DurableOutbox } from './client/durable-outbox.js';
export { Gap } from './client/gap.js';
export { Rotation } from './client/rotation.js';
export { Subscription } from './client/subscription.js';
export * from './errors.js';
export { OutboxLimits } from './lifecycle/outbox.js';
export { ReconnectPolicy } from './lifecycle/retry-policy.js';
export { GapReason, NoticeId, NoticeLevel, Outcome, Overflow, State, Verdict } from './lifecycle/table.js';
export { Acknowledgement } from './protocols/acknowledgement.js';
export { CodecProtocol, Json, Raw } from './protocols/codec.js';
export { Heartbeat } from './protocols/heartbeat.js';
export { Login } from './protocols/login.js';
export { Pace, Protocol } from './protocols/protocol.js';
export { Requests } from './protocols/requests.js';
export { LastValues, SnapshotHook } from './protocols/snapshot.js';
export { SubscriptionAnswer, Subscriptions } from './protocols/subscriptions.js';
export { TokenQuery, TokenSubprotocol } from './token-places.js';
export { CallableSink, ConsoleSink, Notices } from './notices.js';
export { Discord } from './protocols/discord.js';
export { Identity } from './provider/identity.js';
export { Provider } from './provider/provider.js';
export { join, SharedClient } from './tabs/shared-client.js';
