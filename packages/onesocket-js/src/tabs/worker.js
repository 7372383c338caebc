// The shared worker that has the connection of all tabs of an origin, unless the program has one of its own.

import { serve } from './serve.js';

serve();
