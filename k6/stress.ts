// Does the server hold its objectives under twice the load of an ordinary day, on the way there and back?
// Good: the same as for load, so there is room for a day that is not ordinary.
import { iteration } from './lib/measures.ts';
import { objectives } from './lib/objectives.ts';
import { optionsFor } from './lib/options.ts';
import { duration, rate } from './lib/settings.ts';
import { summary } from './lib/summary.ts';
import { everyday, ramping } from './lib/workloads.ts';

export { setup } from './lib/start.ts';
const most = rate(200);
export const options = optionsFor({ stress: ramping(Math.ceil(most / 2), most, duration('2m')) }, objectives());
export const handleSummary = summary('stress');

export default iteration(everyday);
