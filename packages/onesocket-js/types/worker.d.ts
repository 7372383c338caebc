// The types of `onesocket/worker`.

import type { ClientFactory } from './index.js';

/**
 * Has the connection of all tabs in this shared worker, whose script calls it once, at its start. `makeClient` makes the
 * client; without it the module that the tabs name has it as its default export.
 */
export declare function serve(makeClient?: ClientFactory | null): void;
