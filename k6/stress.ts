// Does the server meet its objectives at twice the normal load, while the load rises and falls?
// Pass: the same as for load, so there is headroom for a busy day.
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
