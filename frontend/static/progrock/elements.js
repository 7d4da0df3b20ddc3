// @ts-check
// All elements.

import './prog-rock.js';
import './jobs.js';
import './toasts.js';
